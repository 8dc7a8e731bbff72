"""One line a request, and the id that ties it to the response and to whatever else is logged meanwhile."""

import logging
import time

from flask import Flask, Response, g, request

from service.api.web.event_stream import StreamedResponse
from service.api.web.request_id import HEADER, accepted_request_id
from service.logs import write_line

log = logging.getLogger("millgate.request")
_IN_ENVIRONMENT = "HTTP_X_REQUEST_ID"


def log_requests(app: Flask) -> None:
    """Call it before anything else is hung into the application, so that it sees every request whole."""
    app.before_request(_begin)
    app.after_request(_finish)


def tell_of_request(
    request_id: str,
    method: str | None,
    path: str | None,
    status: int,
    duration_ms: float | None,
    **more: str,
) -> None:
    """The line. A query, a header or a body never gets in; of a token its name does, as one of `more`."""
    fields = {
        "request_id": request_id,
        "method": method,
        "path": path,
        "status": status,
        "duration_ms": duration_ms,
        **more,
    }
    write_line(log, logging.ERROR if status >= 500 else logging.INFO, f"{method} {path} {status}", fields)


def _begin() -> None:
    g.started = time.perf_counter()
    g.request_id = accepted_request_id(request.environ.get(_IN_ENVIRONMENT))


def _finish(response: Response) -> Response:
    # Each look through a proxy takes as long as a line of code.
    kept, asked = g._get_current_object(), request._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001
    response.headers.add(HEADER, kept.request_id)
    response.headers.setdefault("Cache-Control", "no-store")
    started, who = kept.started, {"token": kept.token} if "token" in kept else {}

    def tell() -> None:
        duration_ms = round((time.perf_counter() - started) * 1000, 3)
        tell_of_request(kept.request_id, asked.method, asked.path, response.status_code, duration_ms, **who)

    if isinstance(response, StreamedResponse):
        response.call_on_close(tell)
    else:
        tell()
    return response
