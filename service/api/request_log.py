"""One line a request, and the id that ties it to the response and to whatever else is logged meanwhile."""

import logging
import os
import re
import time

from flask import Flask, Response, g, request

from service.logs import write_line

log = logging.getLogger("millgate.request")
HEADER = "X-Request-ID"
_IN_ENVIRONMENT = "HTTP_X_REQUEST_ID"
_ACCEPTED = re.compile(r"[\x21-\x7e]{1,128}")


def request_id() -> str:
    """The id of the request in hand."""
    return str(g.request_id)


def new_request_id() -> str:
    """An id for a request that came without one."""
    return os.urandom(16).hex()


def accepted_request_id(offered: str | None) -> str:
    """The id that the client offers if it can be shown and logged as it is, else a new one."""
    if offered is not None and _ACCEPTED.fullmatch(offered):
        return offered
    return new_request_id()


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
    response.headers.add("Cache-Control", "no-store")
    duration_ms = round((time.perf_counter() - kept.started) * 1000, 3)
    who = {"token": kept.token} if "token" in kept else {}
    tell_of_request(kept.request_id, asked.method, asked.path, response.status_code, duration_ms, **who)
    return response
