"""gunicorn's parts that we replace: how it logs, and how it answers what is no HTTP request at all."""

import logging
from collections.abc import Callable
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.http.errors import (  # type: ignore[import-untyped]
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from service.api.errors import BAD_HTTP, CRASH, Answer, render
from service.api.request_log import HEADER, new_request_id, tell_of_request
from service.api.worker import LeadingWorker

log = logging.getLogger(__name__)

_ANSWERS: dict[type[Exception], Answer] = {
    ExpectationFailed: Answer(417, "EXPECTATION_FAILED", "This expectation can not be met."),
    InvalidResponseHeader: CRASH,
    InvalidResponseHeaderName: CRASH,
    LimitRequestHeaders: Answer(431, "HEADERS_TOO_LARGE", "The headers are too many or too big."),
    LimitRequestLine: Answer(414, "URI_TOO_LONG", "The path and query are too long."),
    UnsupportedTransferCoding: Answer(501, "NOT_IMPLEMENTED", "This transfer coding is not known here."),
    ParseException: BAD_HTTP,
}
BEFORE_THE_APPLICATION = tuple(
    answer for answer in _ANSWERS.values() if answer is not CRASH and answer is not BAD_HTTP
)
"""What any request may be refused with before the application sees it."""


def answer_to_unreadable(error: Exception) -> Answer:
    """What a client gets whose bytes never became a request."""
    return next((_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS), CRASH)


def raw_response(answer: Answer, request_id: str) -> bytes:
    """A whole HTTP response, after which the connection is closed."""
    body = render(answer, request_id).model_dump_json().encode()
    head = (
        f"HTTP/1.1 {answer.status} {answer.code.replace('_', ' ').title()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"{HEADER}: {request_id}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class ApiWorker(LeadingWorker):
    """gunicorn's worker, whose every error looks like ours, and which do not wait when they are to stop."""

    on_stop: Callable[[], None] = staticmethod(lambda: None)
    """Called when the process is told to stop, by a signal's handler."""
    on_tick: Callable[[], None] = staticmethod(lambda: None)
    """Called about once a second, by the main thread."""

    def notify(self) -> None:
        """The process lives; a moment to do what is not worth a request's time, and not a process's life."""
        super().notify()
        try:
            self.on_tick()
        except Exception:
            log.exception("what is done every second failed")

    def handle_exit(self, sig: Any, frame: Any) -> None:
        """Requests that are under way are answered; those that wait, at once."""
        super().handle_exit(sig, frame)
        self.on_stop()

    def handle_quit(self, sig: Any, frame: Any) -> None:
        """The process ends: threads that wait would hold it up."""
        self.on_stop()
        super().handle_quit(sig, frame)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002
        """Answers and logs what failed before, or beside, the application."""
        answer, request_id = answer_to_unreadable(exc), new_request_id()
        if answer is CRASH:
            log.error("a request crashed in the server", exc_info=exc, extra={"request_id": request_id})
        tell_of_request(
            request_id, getattr(req, "method", None), getattr(req, "path", None), answer.status, None
        )
        try:
            client.send(raw_response(answer, request_id))
        except OSError:
            log.debug("the client did not wait for its answer", extra={"request_id": request_id})


class JsonLogger(Logger):  # type: ignore[misc]
    """gunicorn's messages in our lines; its access log stays off, ours is the request log."""

    def setup(self, cfg: Any) -> None:
        """Hands everything to the root logger, which service.logs has set up."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
