"""The cursor of the stream of events: `scope (8 bytes) | stream (8) | transaction (8) | id (8)`.

It is no secret: it is checked like any input.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from hashlib import blake2b

from pydantic_core import PydanticCustomError

from service.database.views.event_stream import StreamPosition

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
