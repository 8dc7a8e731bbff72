"""A file to import as lines of text, in whatever encoding it was written. Pure.

A byte order mark counts first, then what the first two bytes look like (a file begins with a field name,
in ASCII), then the charset that was declared, and UTF-8 if none was.
"""

import io
import re
from collections.abc import Iterator

from service.errors import ImportTooBigError

MAX_LINE_CHARACTERS = 256 * 1024
MAX_LINES = 1_000_000
"""Rows may have many, but 16 MiB of empty ones would take ten seconds of the processor."""
_SNIFFED_BYTES = 8
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_CHARSETS = {
    **dict.fromkeys(("", "utf-8", "utf8", "us-ascii", "ascii"), "utf-8"),
    **dict.fromkeys(("utf-16", "utf16", "utf-16le", "utf-16-le"), "utf-16-le"),
    **dict.fromkeys(("utf-16be", "utf-16-be"), "utf-16-be"),
    # As browsers have it: who says Latin-1 means Windows-1252.
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1"), "cp1252"),
}
_WINDOWS = re.compile(r"(?:windows-|cp)(125[0-8])")
_ISO = re.compile(r"iso-8859-([2-9]|1[013-6])")
_NOT_UTF8 = (
    'is not UTF-8: save the file as "CSV UTF-8", or name its encoding,'
    " such as Content-Type: text/csv; charset=windows-1252"
)
# What the decoders below make of what they cannot read.
_UNREADABLE = re.compile("[\ud800-\udfff]")


class UnreadableTextError(Exception):
    """From this line on the file cannot be read; the message says why, and what is wanted."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def charset_of(declared: str) -> str | None:
    """The encoding that goes by this name, as Python calls it; None for one that is not taken."""
    name = declared.strip().lower()
    if windows := _WINDOWS.fullmatch(name):
        return f"cp{windows[1]}"
    if iso := _ISO.fullmatch(name):
        return f"iso8859_{iso[1]}"
    return _CHARSETS.get(name)


def text_lines(body: bytes, declared: str, line_end: str | None, not_utf8: str = _NOT_UTF8) -> Iterator[str]:
    """The lines of a file, with their ends: those that `line_end` names; with "" CR, LF and CRLF are all one.

    `declared` is what charset_of gave, `not_utf8` what is said of a file that was to be UTF-8 and is not.
    Raises ImportTooBigError and UnreadableTextError.
    """
    encoding = _encoding_of(body[:_SNIFFED_BYTES], declared)
    errors = "surrogatepass" if encoding.startswith("utf-16") else "surrogateescape"
    text = io.TextIOWrapper(io.BytesIO(body), encoding, errors, line_end)
    number = 0
    try:
        while line := text.readline(MAX_LINE_CHARACTERS + 1):
            number += 1
            if len(line) > MAX_LINE_CHARACTERS or number > MAX_LINES:
                raise ImportTooBigError
            if _UNREADABLE.search(line):
                raise UnreadableTextError(number, _problem_with(encoding, not_utf8))
            yield line
    except UnicodeDecodeError:
        # Half a character at the end.
        raise UnreadableTextError(number + 1, _problem_with(encoding, not_utf8)) from None


def _encoding_of(head: bytes, declared: str) -> str:
    """Raises UnreadableTextError for what is no text at all."""
    if head.startswith(_WORKBOOKS):
        raise UnreadableTextError(1, 'is an Excel workbook: save it as "CSV UTF-8"')
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if head[0:1] == b"\x00" != head[1:2]:
        return "utf-16-be"
    if head[1:2] == b"\x00" != head[0:1]:
        return "utf-16-le"
    return declared


def _problem_with(encoding: str, not_utf8: str) -> str:
    if encoding.startswith("utf-8"):
        return not_utf8
    name = encoding.replace("cp", "Windows-").replace("iso8859_", "ISO-8859-").replace("utf-16", "UTF-16")
    return f"is not valid {name.removesuffix('-le').removesuffix('-be')}: save the file as UTF-8"
