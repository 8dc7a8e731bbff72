"""API tokens: what they look like, and what of them is stored. Pure.

A token is `millgate_`, the id of its row in 32 hexadecimal digits, `_`, and 256 random bits in base64url. The
id finds the row, the random part proves the right to it; only the SHA-256 of the random part is stored. (256
random bits cannot be guessed, so a slow hash would add nothing.)
"""

import hashlib
import hmac
import re
import secrets
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from service.crypto import Secret

SECRET_BYTES = 32
READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""HTTP methods that change nothing (RFC 9110, section 9.2.1)."""
_TOKEN = re.compile(r"millgate_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


class Scope(StrEnum):
    """What a token is for. `write` reads as well."""

    READ = "read"
    WRITE = "write"


class TokenParts(NamedTuple):
    """A token, taken apart."""

    row_id: UUID
    secret: Secret


def new_secret() -> Secret:
    """256 random bits, as text."""
    return Secret(secrets.token_urlsafe(SECRET_BYTES))


def hash_of(secret: Secret) -> bytes:
    """What is stored of it: 32 bytes."""
    return hashlib.sha256(secret.reveal().encode()).digest()


def join_token(parts: TokenParts) -> Secret:
    """The text that a client sends."""
    return Secret(f"millgate_{parts.row_id.hex}_{parts.secret.reveal()}")


def split_token(text: str) -> TokenParts | None:
    """The parts of a text that looks like a token; None for any other."""
    found = _TOKEN.fullmatch(text)
    return TokenParts(UUID(hex=found[1]), Secret(found[2])) if found else None


def is_proof(secret: Secret, token_hash: bytes) -> bool:
    """Whether this is what was hashed. Takes the same time for every answer."""
    return hmac.compare_digest(hash_of(secret), token_hash)


def covers(scope: Scope, method: str) -> bool:
    """Whether a token of this scope may send a request with this HTTP method."""
    return scope is Scope.WRITE or method in READING
