"""Server-sent events (HTML, section 9.2): their text, and the response that they are sent in."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Response, request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

EVENT_STREAM = "text/event-stream"
_JSON = "application/json"


def wants_event_stream() -> bool:
    """Whether the client prefers a stream to JSON. Without a preference it does not."""
    return request.accept_mimetypes.best_match([_JSON, EVENT_STREAM]) == EVENT_STREAM


def format_event(name: str, data: str, cursor: str | None = None) -> bytes:
    """One event. `data` is JSON on one line; a client that reconnects sends the last `cursor` that it got."""
    head = "" if cursor is None else f"id: {cursor}\n"
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


class StreamedResponse(Response):
    """Sends each part at once. Unlike other responses it may take hours."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        super().__init__(() if request.method == "HEAD" else parts, content_type=EVENT_STREAM)
        self.vary.add("Accept")
        # nginx would keep events back until there are enough of them.
        self.headers["X-Accel-Buffering"] = "no"

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """As WSGI has it; tells the connection (see ClientSocket) that parts must not wait for each other."""
        environ["gunicorn.socket"].begin_stream()
        return super().__call__(environ, start_response)
