"""What browsers may do on behalf of a page."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from service.web.rendering import is_path_of_page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
        " trusted-types millgate"
    ),
    # With no referrer at all, browsers say of a form that it comes from the origin `null`.
    "Referrer-Policy": "same-origin",
}


class PageHeaders:
    """Puts these in the place of the API's, whatever is answered: also where there is no such page."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if is_path_of_page("/" + environ["PATH_INFO"].lstrip("/")):
            start_response = partial(_start, start_response)
        return self._application(environ, start_response)


def _start(
    start_response: "StartResponse", status: str, headers: list[tuple[str, str]], *more: Any
) -> Callable[[bytes], object]:
    kept = [header for header in headers if header[0] not in HEADERS]
    return start_response(status, kept + list(HEADERS.items()), *more)
