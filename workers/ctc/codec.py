"""Encodes and decodes messages: one JSON object per text frame."""

import json
import re

from workers.ctc.messages import RTN_ERR, RTN_LOGIN, Message

MAX_PARSED_BYTES = 64 * 1024
"""All that the worker needs is far shorter; longer messages are readings with all their samples."""
_FIELD = rb'\s*"[^"\\]{0,100}"\s*:\s*(?:"[^"\\]{0,1000}"|[0-9]{1,20}|null|true|false)\s*,'
_HEAD = re.compile(rb"\s*\{(?:" + _FIELD + rb'){0,8}?\s*"Type"\s*:\s*"([A-Z0-9_]{1,100})"\s*[,}]')
_OBJECT = re.compile(rb"\s*\{")


class ProtocolViolationError(Exception):
    """The gateway broke the protocol; the text says how, and quotes nothing."""


def encode_command(name: str, data: dict[str, object]) -> str:
    """The text of a command, with exactly these four fields: any other makes the gateway fail."""
    return json.dumps({"Type": name, "From": "UI", "To": "SERV", "Data": data})


def decode_message(payload: bytes) -> Message:
    """Decodes a text frame. Raises ProtocolViolationError unless it is a JSON object with a `Type`.

    Beyond MAX_PARSED_BYTES, where a message may be cut off, only its head is parsed: parsed JSON may take
    twenty times its size. Its `data` is then None, and its type empty if none is found.
    """
    if len(payload) > MAX_PARSED_BYTES:
        return _read_head(payload)
    try:
        envelope = json.loads(payload.decode())
    except UnicodeDecodeError:
        raise ProtocolViolationError("a text frame that is not UTF-8") from None
    except json.JSONDecodeError:
        raise ProtocolViolationError("a text frame that is not JSON") from None
    except RecursionError:
        raise ProtocolViolationError("a text frame whose JSON is nested too deep") from None
    except ValueError:
        raise ProtocolViolationError("a text frame whose JSON has a number of too many digits") from None
    if not isinstance(envelope, dict):
        raise ProtocolViolationError(f"a JSON {type(envelope).__name__} in place of an object")
    message_type = envelope.get("Type")
    if not isinstance(message_type, str):
        raise ProtocolViolationError("a JSON object without a Type")
    return Message(message_type, envelope.get("Data"))


def _read_head(payload: bytes) -> Message:
    if _OBJECT.match(payload) is None:
        raise ProtocolViolationError("a long text frame that does not begin as a JSON object")
    head = _HEAD.match(payload)
    message_type = "" if head is None else head[1].decode()
    if message_type in {RTN_LOGIN, RTN_ERR}:
        raise ProtocolViolationError(f"an answer of more than {MAX_PARSED_BYTES} bytes")
    return Message(message_type, None)
