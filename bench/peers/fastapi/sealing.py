"""Passwords, sealed as Millgate seals them: AES-256-GCM, bound to their row.

`version (1 byte) | key id (8) | nonce (12) | ciphertext and tag`; the associated data are version, key id and
row id.
"""

import base64
import hashlib
import os
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = b"\x01"
NONCE_BYTES = 12


class Sealer:
    """Seals with one key: 32 bytes in base64."""

    def __init__(self, encryption_key: str) -> None:
        key = base64.b64decode(encryption_key, validate=True)
        self._cipher = AESGCM(key)
        self._head = VERSION + hashlib.sha256(b"millgate key id\x00" + key).digest()[:8]

    def seal(self, password: str, row_id: UUID) -> bytes:
        """Seals a text for one row."""
        nonce = os.urandom(NONCE_BYTES)
        return self._head + nonce + self._cipher.encrypt(nonce, password.encode(), self._head + row_id.bytes)

    def open(self, sealed: bytes, row_id: UUID) -> str:
        """Return the text. Raises cryptography's InvalidTag for another row's or another key's text."""
        behind_head = len(self._head)
        behind_nonce = behind_head + NONCE_BYTES
        nonce, rest = sealed[behind_head:behind_nonce], sealed[behind_nonce:]
        return self._cipher.decrypt(nonce, rest, sealed[:behind_head] + row_id.bytes).decode()
