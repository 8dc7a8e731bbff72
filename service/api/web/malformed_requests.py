"""What is wrong with a request that is not as HTTP has it, in a sentence that repeats none of it. Pure."""

import re

from gunicorn.http import errors  # type: ignore[import-untyped]
from werkzeug.exceptions import BadRequest, ClientDisconnected, HTTPException, RequestTimeout

_BARE_LF = "bare LF as line terminator"
_METHOD = re.compile(r"[A-Z]+ ")
_OF_KINDS: dict[type[Exception], str] = {
    errors.InvalidRequestMethod: "The method must be written in capital letters, such as GET.",
    errors.InvalidHTTPVersion: "The HTTP version must be 1.1 or 1.0.",
    errors.ObsoleteFolding: "A header must be on one line.",
    errors.InvalidHeaderName: "A header name may contain letters, digits and hyphens only.",
    errors.InvalidChunkSize: "A body chunk must start with its size in hexadecimal digits.",
    errors.InvalidChunkExtension: "A body chunk has an invalid extension.",
    errors.ChunkMissingTerminator: "A body chunk must end with CRLF where its size says.",
}
_OF_HEADERS = {
    "HOST": "The Host header must appear once, without control characters.",
    "CONTENT-TYPE": "The Content-Type header must appear once, without control characters.",
    "CONTENT-LENGTH": "Content-Length must be one number in digits, without Transfer-Encoding.",
    "TRANSFER-ENCODING": "Transfer-Encoding must be chunked, once, and in HTTP/1.1.",
}


class LateBodyError(TimeoutError):
    """A body did not come in time; the text says what it did instead."""


def problem_of(error: Exception) -> str:
    """What gunicorn found."""
    if _BARE_LF in {str(getattr(error, "hdr", "")), str(getattr(error, "req", ""))}:
        return "Lines must end with CRLF, not with LF alone."
    if isinstance(error, errors.InvalidRequestLine):
        # What does not begin like a request may be anything, such as TLS.
        if _METHOD.match(error.req) and not error.req.isascii():
            return "The path and query must be in ASCII: percent-encode other characters as UTF-8."
        return "The request line must be a method, a path and HTTP/1.1, separated by spaces."
    if isinstance(error, errors.InvalidHeader):
        return _OF_HEADERS.get(str(error.hdr), "A header must be a name, a colon and a value on one line.")
    return next((text for kind, text in _OF_KINDS.items() if isinstance(error, kind)), "")


def of_unfinished(error: ClientDisconnected) -> HTTPException:
    """What became of a body that werkzeug read in vain: it tells by the error that it met."""
    if isinstance(error.__context__, LateBodyError):
        return RequestTimeout(f"The body {error.__context__}.")
    return BadRequest("The body ended before its last chunk.")
