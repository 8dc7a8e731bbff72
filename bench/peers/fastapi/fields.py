"""The field types of requests, with their limits."""

import ipaddress
import math
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, Field, SecretStr

MAX_METADATA_DEPTH = 16
MAX_METADATA_BYTES = 64 * 1024
MAX_INTEGER = 2**63
EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")
URL_CHARACTERS = re.compile(r"wss?://[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")


def check_text(text: str) -> str:
    """Rejects NUL characters, which PostgreSQL cannot store."""
    if "\x00" in text:
        raise ValueError("must not contain a NUL character")
    return text


def check_not_blank(text: str) -> str:
    """Rejects blank names."""
    if not text.strip():
        raise ValueError("must not be blank")
    return check_text(text)


def check_email(text: str) -> str:
    """Checks for text on both sides of an at sign."""
    if not EMAIL.fullmatch(text):
        raise ValueError("must be an email address, without spaces")
    return text


def check_url(text: str) -> str:
    """A WebSocket URL with a host, and without credentials and fragment."""
    parts = urlsplit(text)
    host, port = parts.hostname, parts.port
    if not URL_CHARACTERS.fullmatch(text) or host is None or port == 0 or "@" in parts.netloc:
        raise ValueError("must be a WebSocket URL")
    if parts.netloc.startswith("["):
        ipaddress.IPv6Address(host)
    elif len(host) > 253 or not HOST.fullmatch(host) or parts.netloc.endswith(":"):
        raise ValueError("must be a WebSocket URL")
    return text


def check_password(password: SecretStr) -> SecretStr:
    """Checks that a password is valid text."""
    check_text(password.get_secret_value())
    return password


def check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Checks that PostgreSQL can store a JSON object, and limits its depth and size."""
    check_value(metadata, 1)
    if len(orjson.dumps(metadata)) > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES} bytes of JSON")
    return metadata


def check_value(value: object, depth: int) -> None:
    """Checks a value and the values inside it."""
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, (int, float)):
        if not (math.isfinite(value) and -MAX_INTEGER <= value < MAX_INTEGER):
            raise ValueError("must not contain a number beyond 64 bits")
    elif isinstance(value, (dict, list)):
        if depth > MAX_METADATA_DEPTH:
            raise ValueError(f"must be at most {MAX_METADATA_DEPTH} levels deep")
        if isinstance(value, dict):
            for key in value:
                check_text(key)
        for item in value.values() if isinstance(value, dict) else value:
            check_value(item, depth + 1)


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(check_not_blank)]
ShortText = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_not_blank)]
Email = Annotated[str, Field(min_length=3, max_length=320), AfterValidator(check_email)]
WebSocketUrl = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(check_url)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024), AfterValidator(check_password)]
Metadata = Annotated[dict[str, Any], AfterValidator(check_metadata)]
