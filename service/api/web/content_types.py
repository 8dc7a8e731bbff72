"""What a body is, by its headers (RFC 9110, section 8) and its first bytes."""

from typing import TYPE_CHECKING, Any

from flask import request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NO_CODING = frozenset({"identity", ""})
# JSON with rules of its own for what it changes, which are not ours: RFC 6902, RFC 7396.
_PATCHES = frozenset({"application/json-patch+json", "application/merge-patch+json"})


class UnsupportedContentError(UnsupportedMediaType):
    """415, with the header that says what would be taken (RFC 9110, section 15.5.16)."""

    def __init__(self, message: str, **accepted: str) -> None:
        super().__init__(message)
        self._accepted = [(name.replace("_", "-"), value) for name, value in accepted.items()]

    def get_headers(
        self, environ: "WSGIEnvironment | None" = None, scope: Any = None
    ) -> list[tuple[str, str]]:
        """As werkzeug's other errors have theirs."""
        return [*super().get_headers(environ, scope), *self._accepted]


def check_json() -> None:
    """Raises UnsupportedContentError or BadRequest unless the body is JSON, as a whole.

    Its parameters have no meaning (RFC 8259). A body without a type is refused: browsers let a page of
    another origin send one without a preflight.
    """
    if not is_json(request.mimetype):
        accepted = {"Accept_Patch" if request.method == "PATCH" else "Accept": "application/json"}
        raise UnsupportedContentError("The body must be application/json.", **accepted)
    if "Content-Range" in request.headers:
        # Whoever sends a part would have it taken for the whole (RFC 9110, section 14.5).
        raise BadRequest("The body must be complete: Content-Range is not supported.")
    check_coding()


def check_coding() -> None:
    """Raises UnsupportedContentError for a body that is compressed."""
    codings = (request.content_encoding or "").lower().split(",")
    if any(coding.strip() not in _NO_CODING for coding in codings):
        raise UnsupportedContentError("The body must not be compressed.", Accept_Encoding="identity")


def is_json(media_type: str) -> bool:
    """Whether a type is JSON, by its name or its suffix (RFC 6839). Pure."""
    if media_type in _PATCHES:
        return False
    is_suffixed = media_type.startswith("application/") and media_type.endswith("+json")
    return media_type in {"application/json", "text/json"} or is_suffixed


def in_utf8(octets: bytes) -> str | None:
    """As a text; None for what is not written in UTF-8. Pure."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return None


def is_wide(body: bytes) -> bool:
    """Whether JSON is written with more than a byte a character, as RFC 8259 does not have it. Pure."""
    return body.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in body[:2]
