"""Messages to text and back: one JSON object a text frame."""

import json

from workers.ctc.messages import Message


class ProtocolViolationError(Exception):
    """The gateway sent what the protocol has no place for; the text says what, and shows none of it."""


def encode_command(name: str, data: dict[str, object]) -> str:
    """The text of a command. It has exactly these four fields: any other makes the gateway fail."""
    return json.dumps({"Type": name, "From": "UI", "To": "SERV", "Data": data})


def decode_message(payload: bytes) -> Message:
    """Reads a text frame. Raises ProtocolViolationError for what is no JSON object with a `Type`."""
    try:
        envelope = json.loads(payload.decode())
    except UnicodeDecodeError:
        raise ProtocolViolationError("a text frame that is not UTF-8") from None
    except (ValueError, RecursionError):
        raise ProtocolViolationError("a text frame that is not JSON") from None
    if not isinstance(envelope, dict):
        raise ProtocolViolationError(f"a JSON {type(envelope).__name__} in place of an object")
    message_type = envelope.get("Type")
    if not isinstance(message_type, str):
        raise ProtocolViolationError("a JSON object without a Type")
    return Message(message_type, envelope.get("Data"))
