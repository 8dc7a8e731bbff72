"""Cursors: a text that names the row after which a page begins."""

import base64
import binascii
from typing import NamedTuple
from uuid import UUID


class Cursor(NamedTuple):
    """A place in the list by name."""

    name: str
    id: UUID


def encode_cursor(cursor: Cursor) -> str:
    """As a text for URLs."""
    return base64.urlsafe_b64encode(cursor.id.bytes + cursor.name.encode()).rstrip(b"=").decode()


def decode_cursor(text: str) -> Cursor:
    """Raises ValueError for a text that encode_cursor never returns."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return Cursor(decoded[16:].decode(), UUID(bytes=decoded[:16]))
    except (ValueError, binascii.Error):
        raise ValueError("must be a next_cursor of this list") from None


def check_cursor(text: str) -> str:
    """Raises ValueError for a text that encode_cursor never returns."""
    decode_cursor(text)
    return text
