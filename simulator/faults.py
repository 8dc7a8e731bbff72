"""The faults of a gateway, and the raw bytes that some of them need. Pure."""

import struct
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Literal, TypedDict

MIB = 1024 * 1024
OPCODE_TEXT = 0x1


class Fault(Enum):
    """A gateway's fault from its next connection on. In brackets: the options that apply."""

    # Before the WebSocket is open.
    REJECT_UPGRADE = "reject_upgrade"  # an HTTP response other than an upgrade (status, location)
    SILENT_UPGRADE = "silent_upgrade"  # TCP accepted, request read, no response
    DRIBBLE_UPGRADE = "dribble_upgrade"  # the correct answer, one byte at a time (byte_interval_s)
    HUGE_UPGRADE_HEADERS = "huge_upgrade_headers"  # the correct answer with padding headers (size_bytes)
    # In place of the answer to the login.
    CLOSE_BEFORE_LOGIN = "close_before_login"  # a WebSocket close immediately after the upgrade (code)
    SILENT_LOGIN = "silent_login"  # no answer
    DRIBBLE_LOGIN = "dribble_login"  # the correct answer, one byte at a time (byte_interval_s)
    REJECT_LOGIN = "reject_login"  # RTN_LOGIN with Success false for any credentials
    ERROR_LOGIN = "error_login"  # RTN_ERR (attempt)
    # Right after an accepted login.
    CLOSE_AFTER_LOGIN = "close_after_login"  # a WebSocket close (code)
    RESET_AFTER_LOGIN = "reset_after_login"  # TCP RST
    UNKNOWN_TYPE = "unknown_type"  # an undocumented notification, which a client has to ignore
    # In answer to the subscription.
    ERROR_SUBSCRIBE = "error_subscribe"  # RTN_ERR (attempt)
    FLOOD = "flood"  # endless notifications (messages_per_s)
    # In place of the answer to the login, or after the subscription (phase).
    NOT_JSON = "not_json"
    JSON_ARRAY = "json_array"
    BINARY_FRAME = "binary_frame"
    BAD_UTF8 = "bad_utf8"
    HALF_FRAME = "half_frame"  # then silence, pongs too
    HUGE_FRAME = "huge_frame"  # announced in full, streamed lazily (size_bytes)
    # At any time.
    NO_PONGS = "no_pongs"  # all else works


AT_LOGIN = frozenset(
    {
        Fault.NOT_JSON,
        Fault.JSON_ARRAY,
        Fault.BINARY_FRAME,
        Fault.BAD_UTF8,
        Fault.HALF_FRAME,
        Fault.HUGE_FRAME,
    }
)


class FaultOptions(TypedDict, total=False):
    """The options of `Gateway.fault`; FaultPlan has their meaning and defaults."""

    status: int
    location: str
    code: int
    attempt: str | None
    byte_interval_s: float
    size_bytes: int
    messages_per_s: int
    phase: Literal["login", "session"]


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """A fault with its options.

    status, location: HTTP status of a rejected upgrade, and its `Location` header if any.
    code: of the WebSocket close. attempt: the `Attempt` of `RTN_ERR`; "" = the command's own name.
    byte_interval_s: seconds between two bytes. size_bytes: of the padding headers (default 1 MiB) or of the
    announced frame (default 64 MiB). messages_per_s: of the flood. phase: "login" = in place of the answer
    to the login, "session" = after the subscription.
    """

    kind: Fault
    status: int = 503
    location: str | None = None
    code: int = 1011
    attempt: str | None = ""
    byte_interval_s: float = 0.05
    size_bytes: int | None = None
    messages_per_s: int = 5000
    phase: Literal["login", "session"] = "session"

    def __post_init__(self) -> None:
        if self.status not in {status.value for status in HTTPStatus} or self.status < 200:
            raise ValueError(f"status: {self.status} is no HTTP status that ends a handshake")
        if self.code not in {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}:
            raise ValueError(f"code: {self.code} may not be sent in a WebSocket close")
        if self.phase not in {"login", "session"}:
            raise ValueError('phase: must be "login" or "session"')
        if not 0 < self.messages_per_s <= 1_000_000 or not 0 < self.byte_interval_s <= 3600:
            raise ValueError("messages_per_s and byte_interval_s must be above 0 and sensible")
        if self.size_bytes is not None and not 0 < self.size_bytes < 2**40:
            raise ValueError("size_bytes must be above 0 and below 1 TiB")

    def attempt_of(self, command: str) -> str | None:
        """Return the `Attempt` to send in an `RTN_ERR` to that command."""
        return command if self.attempt == "" else self.attempt

    def instead_of_login(self) -> bool:
        """Whether this garbage replaces the answer to the login."""
        return self.kind in AT_LOGIN and self.phase == "login"

    def after_subscription(self) -> bool:
        """Whether this fault begins after the subscription."""
        return self.kind is Fault.FLOOD or (self.kind in AT_LOGIN and self.phase == "session")


def frame_header(opcode: int, payload_bytes: int) -> bytes:
    """Return the header of a final, unmasked frame (RFC 6455, section 5.2)."""
    first = 0x80 | opcode
    if payload_bytes < 126:
        return struct.pack("!BB", first, payload_bytes)
    if payload_bytes < 2**16:
        return struct.pack("!BBH", first, 126, payload_bytes)
    return struct.pack("!BBQ", first, 127, payload_bytes)


def text_frame(payload: bytes) -> bytes:
    """Return a whole text frame, without checking that the payload is UTF-8."""
    return frame_header(OPCODE_TEXT, len(payload)) + payload


def padding_headers(size_bytes: int) -> list[tuple[str, str]]:
    """Return HTTP headers of about that total size, in lines of 4 KiB."""
    return [(f"X-Padding-{index}", "p" * 4096) for index in range(max(1, size_bytes // 4096))]
