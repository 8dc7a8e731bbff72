"""Cursors: a text that names a place in one list, in one order, narrowed down in one way.

A cursor is `scope (8 bytes) | id (16) | key`: a digest of what the list was asked for, and the row after
which the next page starts, whatever becomes of that row. It is no secret: it is checked like any input.
"""

import base64
import binascii
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from pydantic_core import PydanticCustomError

from service.database.views.event_stream import StreamPosition

NEVER = "-infinity"
_SCOPE_BYTES = 8
_ID_BYTES = 16
_MAX_KEY_CHARACTERS = 255
_WRITTEN_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|\+00:00)"
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a list: after the row with this id and this key, which the list is ordered by."""

    scope: bytes
    row_id: UUID
    key: str


def scope_of(kind: str, asked: Mapping[str, object]) -> bytes:
    """Stands for a list: what of, in which order, narrowed down by what (None counts as not given)."""
    words = [kind, *(f"{name}={asked[name]}" for name in sorted(asked) if asked[name] is not None)]
    # The length of each word sets it apart from its neighbours.
    text = "".join(f"{len(word)}:{word}" for word in words)
    return blake2b(text.encode(), digest_size=_SCOPE_BYTES).digest()


def encode_cursor(cursor: Cursor) -> str:
    """As a text for URLs."""
    decoded = cursor.scope + cursor.row_id.bytes + cursor.key.encode()
    return base64.urlsafe_b64encode(decoded).rstrip(b"=").decode()


def decode_cursor(text: object) -> Cursor:
    """Raises PydanticCustomError for what encode_cursor never made."""
    try:
        if not isinstance(text, str):
            raise ValueError  # noqa: TRY301, TRY004 - one way out for all that is none
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        scope, rest = decoded[:_SCOPE_BYTES], decoded[_SCOPE_BYTES:]
        cursor = Cursor(scope, UUID(bytes=rest[:_ID_BYTES]), rest[_ID_BYTES:].decode())
    except (ValueError, binascii.Error):
        raise not_of_this_list() from None
    if "\x00" in cursor.key or not 1 <= len(cursor.key) <= _MAX_KEY_CHARACTERS:
        raise not_of_this_list()
    return cursor


def check_time_key(key: str) -> None:
    """Raises PydanticCustomError for what is no time that this service wrote."""
    if key == NEVER:
        return
    # Python reads more than PostgreSQL does, such as weeks, and years that an offset takes out of its range.
    if not _WRITTEN_TIME.fullmatch(key):
        raise not_of_this_list()
    try:
        datetime.fromisoformat(key)
    except ValueError:
        raise not_of_this_list() from None


def time_key(at: datetime | None) -> str:
    """A time as a key; never is before all times."""
    return NEVER if at is None else at.isoformat()


def not_of_this_list() -> PydanticCustomError:
    """The refusal of a cursor."""
    return PydanticCustomError(
        "cursor", "must be a next_cursor from this list with the same sort and filters"
    )


_LAYOUT = struct.Struct(">8s8sQQ")


_MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class EventCursor:
    """A place in a stream, and what it was asked for: digests of both."""

    scope: bytes
    stream: bytes
    position: StreamPosition

    def encode(self) -> str:
        """As a text for URLs."""
        packed = _LAYOUT.pack(self.scope, self.stream, self.position.modified_xid, self.position.id)
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_event_cursor(text: object) -> EventCursor:
    """Raises PydanticCustomError for what EventCursor.encode never made."""
    try:
        if not isinstance(text, str):
            raise ValueError  # noqa: TRY301, TRY004 - one way out for all that is none
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        scope, stream, modified_xid, event_id = _LAYOUT.unpack(decoded)
    except (ValueError, binascii.Error, struct.error):
        raise not_of_this_stream() from None
    if max(modified_xid, event_id) > _MAX_INTEGER:
        raise not_of_this_stream()
    return EventCursor(scope, stream, StreamPosition(modified_xid, event_id))


def stream_digest(stream: str) -> bytes:
    """Stands for a stream in a cursor."""
    return blake2b(stream.encode(), digest_size=8).digest()


def not_of_this_stream() -> PydanticCustomError:
    """The refusal of a cursor."""
    return PydanticCustomError("cursor", "must be a cursor from this list with the same factory_id")
