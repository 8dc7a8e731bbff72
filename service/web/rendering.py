"""Turns what a view found into a page, or into the part of it that changes."""

import gzip
from typing import Any

import flask
from flask import Response, current_app, flash, g, make_response, render_template, request, session
from markupsafe import Markup

import service
from service.api.middleware.authentication import asks_for_tokens, may_write
from service.api.web.responses import public_path
from service.web.static_files import digest

PATH = "/ui"
FRAGMENT_HEADER = "Millgate-Fragment"
_SMALL_BYTES = 1000
_MOST_FLASHES = 3


def is_page() -> bool:
    """Whether the request is for a page, whether or not there is one."""
    return is_path_of_page(request.path)


def is_path_of_page(path: str) -> bool:
    """Whether a page is what is looked for there."""
    return path == PATH or path.startswith(f"{PATH}/")


def is_fragment() -> bool:
    """Whether the page's module asks for the part that changes, and not for the page around it."""
    return request.headers.get(FRAGMENT_HEADER) == "1"


def render_page(template: str, status: int = 200, **values: Any) -> Response:
    """A view's template extends `layout`, and fills its blocks `title`, `top`, `live` and `below`."""
    text = render_template(
        template,
        layout="fragment.html" if is_fragment() else "page.html",
        facts=g.get("facts"),
        version=service.__version__,
        may_write=may_write(),
        token_name=g.get("token"),
        has_sessions=asks_for_tokens(current_app),
        **values,
    )
    return make_response(text, status)


def url_for(endpoint: str, **values: Any) -> str:
    """Flask's, as clients see the path behind a proxy that removes a prefix."""
    return public_path(flask.url_for(endpoint, **values))


def static_url(name: str) -> str:
    """The address of a style or program, which changes with it."""
    return url_for("web.static.send", version=digest(), name=name)


def go_to(endpoint: str, **values: Any) -> Response:
    """After a POST: 303, so that a reload does not send it again."""
    return Response(status=303, headers={"Location": url_for(endpoint, **values)})


def flash_deleted(message: str) -> None:
    """Says so on the next page, with the way back."""
    link = Markup(' <a class="alert-link" href="{}">Restore…</a>').format(url_for("web.deleted.show"))
    flash(message + link)


def finish(response: Response) -> Response:
    """Compresses pages. A cookie with SameSite=Strict keeps others from guessing what is in them by size."""
    # They are kept in the cookie, of which servers take 4 KB.
    if session.modified and len(waiting := session.get("_flashes", [])) > _MOST_FLASHES:
        session["_flashes"] = waiting[-_MOST_FLASHES:]
    response.vary.update(["Accept-Encoding", FRAGMENT_HEADER])
    if (
        request.accept_encodings["gzip"]
        and "Content-Encoding" not in response.headers
        and not response.is_streamed
        and len(body := response.get_data()) > _SMALL_BYTES
    ):
        response.set_data(gzip.compress(body, 5, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response
