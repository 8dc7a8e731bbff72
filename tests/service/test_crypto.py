"""Sealed passwords."""

import base64
import json
import pickle
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.crypto import Sealer, Secret
from service.errors import ConfigurationError, SealError

KEY = Secret(base64.b64encode(bytes(range(32))).decode())
SEALER = Sealer(KEY)
ROW = UUID("01a20801-5e63-75c4-8fc0-4d7225becaea")
PASSWORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1024)


@pytest.mark.req("CRYPTO-04", "CRYPTO-01")
@given(PASSWORDS)
def test_any_password_round_trips_and_is_never_sealed_the_same_twice(password: str) -> None:
    sealed = SEALER.seal(Secret(password), ROW)
    assert SEALER.open(sealed, ROW).reveal() == password
    assert sealed != SEALER.seal(Secret(password), ROW)
    assert len(sealed) == 1 + 8 + 12 + len(password.encode()) + 16
    assert sealed[1:9].hex() == SEALER.key_id


@pytest.mark.req("CRYPTO-04")
@given(st.data())
def test_a_value_with_any_bit_flipped_is_rejected(data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(Secret("correct horse"), ROW))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        SEALER.open(bytes(sealed), ROW)


@pytest.mark.req("CRYPTO-04")
@given(st.binary(max_size=64))
def test_a_value_that_was_never_sealed_is_rejected(junk: bytes) -> None:
    with pytest.raises(SealError):
        SEALER.open(junk, ROW)


@pytest.mark.req("CRYPTO-01")
def test_a_value_copied_to_another_row_cannot_be_opened() -> None:
    with pytest.raises(SealError, match="another row"):
        SEALER.open(SEALER.seal(Secret("correct horse"), ROW), uuid4())


@pytest.mark.req("CRYPTO-01", "CRYPTO-03")
def test_a_missing_key_is_named_by_its_id() -> None:
    other = Sealer(Secret(base64.b64encode(b"k" * 32).decode()))
    with pytest.raises(SealError, match=SEALER.key_id):
        other.open(SEALER.seal(Secret("correct horse"), ROW), ROW)


@pytest.mark.req("CRYPTO-02")
def test_a_secret_is_not_shown() -> None:
    secret = Secret("correct horse")
    shown = [repr(secret), str(secret), f"{secret}", f"{[secret]!r}", json.dumps({"p": secret}, default=str)]
    assert not [text for text in shown if "correct" in text]
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert not hasattr(secret, "__dict__")


@pytest.mark.req("CRYPTO-03")
@pytest.mark.parametrize("key", ["short", "a b", "%%%", base64.b64encode(b"k" * 31).decode(), "ä" * 44])
def test_an_invalid_key_is_rejected_without_being_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY") as caught:
        Sealer(Secret(key))
    assert key not in str(caught.value)
