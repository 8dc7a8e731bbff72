"""The body of an import, from its headers to its rows."""

from collections.abc import Callable
from time import monotonic

from flask import request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, RequestTimeout

from service.api.gateway_import.rows import ImportFile, read_csv, read_json_lines
from service.api.gateway_import.text_lines import UnreadableTextError, charset_of, text_lines
from service.api.server.time_slices import paced
from service.api.web.content_types import UnsupportedContentError, check_coding
from service.errors import ImportTooBigError

MAX_FILE_BYTES = 16 * 1024 * 1024
READ_LIMIT_S = 60.0
_CHUNK_BYTES = 64 * 1024
_NOT_UTF8 = "is not UTF-8, which JSON requires"
CSV = "text/csv"
JSON_LINES = ("application/x-ndjson", "application/jsonl")
KINDS = (CSV, *JSON_LINES)
# What else goes by these names, in browsers and elsewhere.
_ALIASES = {
    **dict.fromkeys(("application/csv", "text/x-csv", "application/vnd.ms-excel"), CSV),
    "text/tab-separated-values": CSV,
    **dict.fromkeys(("application/ndjson", "application/jsonlines"), "application/jsonl"),
}


def reader() -> Callable[[bytes], ImportFile]:
    """What reads this kind of body. Raises UnsupportedContentError."""
    kind = _ALIASES.get(request.mimetype, request.mimetype)
    charset = charset_of(request.mimetype_params.get("charset", ""))
    if kind == CSV and charset is not None:
        check_coding()
        return lambda body: read_csv(paced(text_lines(body, charset, "")))
    if kind in JSON_LINES:
        # Parameters of JSON have no meaning.
        check_coding()
        return lambda body: read_json_lines(paced(text_lines(body, "utf-8", "\n", _NOT_UTF8)))
    raise UnsupportedContentError(
        f"The body must be {', '.join(KINDS)}; charset may be UTF-8, UTF-16, Windows-125x or ISO-8859-x.",
        Accept=", ".join(KINDS),
    )


def read_body() -> bytes:
    """All of it. Raises ImportTooBigError and werkzeug's errors."""
    # This route's own bound; one more than a file may have, so that one that goes on behind it shows.
    request.max_content_length = MAX_FILE_BYTES + 1
    deadline = monotonic() + READ_LIMIT_S
    body = bytearray()
    try:
        while part := request.stream.read(_CHUNK_BYTES):
            body += part
            if monotonic() > deadline:
                raise RequestTimeout(f"The body took longer than {READ_LIMIT_S:.0f} s.")
    except RequestEntityTooLarge:
        raise ImportTooBigError from None
    if len(body) > MAX_FILE_BYTES:
        raise ImportTooBigError
    if len(body) < (request.content_length or 0):
        raise BadRequest("The body is shorter than its Content-Length.")
    return bytes(body)


def read_file(read: Callable[[bytes], ImportFile], body: bytes) -> ImportFile:
    """The file in a body. Raises ImportTooBigError."""
    try:
        return read(body)
    except UnreadableTextError as error:
        # What is wrong with the other lines would only hide this.
        file = ImportFile()
        file.mistakes.add(error.line, "", error.message, "encoding")
        return file
