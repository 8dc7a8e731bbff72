"""Sealed passwords: AES-256-GCM, bound to the row that they belong to; one key seals, older ones still open.

A sealed value is `version (1 byte) | key id (8) | nonce (12) | ciphertext and tag (16)`. The row's id is
associated data, so a value that is copied to another row does not open there. Nonces are random 96 bits
(NIST SP 800-38D, 8.2.2: at most 2^32 values under one key).
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import NoReturn
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.errors import ConfigurationError, SealError

KEY_BYTES = 32
NONCE_BYTES = 12
_VERSION = b"\x01"
_KEY_ID_BYTES = 8
_HEADER_BYTES = len(_VERSION) + _KEY_ID_BYTES
_SHORTEST = _HEADER_BYTES + NONCE_BYTES + 16


class Secret:
    """A text that no repr, str, format, pickle or JSON shows; `reveal()` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Call it where it is used, and keep no other reference."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class Sealer:
    """Seals with one key, opens with that and with older ones. Any thread may call."""

    def __init__(self, encryption_key: Secret, old_keys: Sequence[Secret] = ()) -> None:
        """Keys are 32 bytes in base64. Raises ConfigurationError, which never shows a key."""
        key = _decode_key(encryption_key, "ENCRYPTION_KEY")
        self._cipher = AESGCM(key)
        self._key_id = _key_id_of(key)
        self._ciphers = {self._key_id: self._cipher}
        for old_key in old_keys:
            old = _decode_key(old_key, "each of ENCRYPTION_KEYS_OLD")
            self._ciphers.setdefault(_key_id_of(old), AESGCM(old))

    @property
    def key_id(self) -> str:
        """Names the key that seals without telling it: 16 hexadecimal digits."""
        return self._key_id.hex()

    def seal(self, secret: Secret, row_id: UUID) -> bytes:
        """Seals a text for one row; each call gives other bytes."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, secret.reveal().encode(), _associated_data(self._key_id, row_id))
        return _VERSION + self._key_id + nonce + sealed

    def open(self, sealed: bytes, row_id: UUID) -> Secret:
        """The text that was sealed for this row. Raises SealError."""
        if len(sealed) < _SHORTEST or sealed[:1] != _VERSION:
            raise SealError("not a sealed value of a known version")
        key_id = sealed[1:_HEADER_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            known = ", ".join(each.hex() for each in self._ciphers)
            raise SealError(f"sealed with key {key_id.hex()}, not with {known}")
        nonce = sealed[_HEADER_BYTES : _HEADER_BYTES + NONCE_BYTES]
        try:
            text = cipher.decrypt(
                nonce, sealed[_HEADER_BYTES + NONCE_BYTES :], _associated_data(key_id, row_id)
            )
        except InvalidTag:
            raise SealError("the sealed value was changed, or belongs to another row") from None
        return Secret(text.decode())


def derive_key(encryption_key: Secret, purpose: str) -> bytes:
    """Another key of 32 bytes, which says nothing about this one (RFC 5869). Raises ConfigurationError."""
    key = _decode_key(encryption_key, "a key of ENCRYPTION_KEY and ENCRYPTION_KEYS_OLD")
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(key)


def _associated_data(key_id: bytes, row_id: UUID) -> bytes:
    return _VERSION + key_id + row_id.bytes


def _key_id_of(key: bytes) -> bytes:
    return hashlib.sha256(b"millgate key id\x00" + key).digest()[:_KEY_ID_BYTES]


def _decode_key(encryption_key: Secret, name: str) -> bytes:
    try:
        key = base64.b64decode(encryption_key.reveal(), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(f"{name} is not base64") from None
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{name} must be {KEY_BYTES} bytes in base64, not {len(key)}")
    return key
