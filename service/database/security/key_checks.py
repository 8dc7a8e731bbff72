"""Canaries: a known text under each key in use, by which a wrong or a missing key is noticed at start.

A key is in use from when its canary is there until the canary is taken away, which is done only when no
password is sealed with it; from then on the database refuses any that is (refuse_retired_key in the schema).
"""

from dataclasses import dataclass, field
from uuid import UUID

from service.crypto import Sealer, Secret
from service.database.engine.query import Command, Executor, Query
from service.errors import ConfigurationError, SealError

_ROW_ID = UUID(int=0)
_TEXT = "the canary sings"


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """A sealed canary."""

    key_id: str
    sealed: bytes = field(repr=False)


FIND_ALL = Query("SELECT key_id, sealed FROM encryption_key_checks ORDER BY created_at, key_id", KeyCheck)

INSERT = Command(
    """
    INSERT INTO encryption_key_checks (key_id, sealed) VALUES (%(key_id)s, %(sealed)s)
    ON CONFLICT (key_id) DO NOTHING
    """
)

# Two that start at once, each with a key of its own, agree on whose counts.
LOCK = Command("LOCK TABLE encryption_key_checks IN SHARE ROW EXCLUSIVE MODE")

# From here to the end of the transaction nothing is sealed with this key, and what was is there to be seen.
LOCK_ONE = Query(
    "SELECT key_id, sealed FROM encryption_key_checks WHERE key_id = %(key_id)s FOR UPDATE", KeyCheck
)

DELETE_UNUSED = Command(
    """
    DELETE FROM encryption_key_checks
    WHERE key_id = %(key_id)s
        AND NOT EXISTS (SELECT FROM gateways WHERE key_id_of(sealed_password) = %(key_id)s)
    """
)


def check_key(executor: Executor, sealer: Sealer, *, will_seal: bool = False) -> None:
    """Makes sure that every key in use opens; call it in a transaction. Raises ConfigurationError.

    Leaves a canary when there is none. With `will_seal` the key that seals is in use from now on.
    """
    canaries = executor.fetch_all(FIND_ALL, {})
    if not canaries or (will_seal and sealer.key_id not in {canary.key_id for canary in canaries}):
        executor.execute(LOCK, {})
        canaries = executor.fetch_all(FIND_ALL, {})
        _check_all(canaries, sealer)
        if not canaries or will_seal:
            sealed = sealer.seal(Secret(_TEXT), _ROW_ID)
            executor.execute(INSERT, {"key_id": sealer.key_id, "sealed": sealed})
    else:
        _check_all(canaries, sealer)


def find_keys_in_use(executor: Executor) -> list[str]:
    """The ids of all keys that passwords may be sealed with, the oldest first."""
    return [canary.key_id for canary in executor.fetch_all(FIND_ALL, {})]


def retire_key(executor: Executor, key_id: str) -> bool:
    """Takes a key out of use, if no password is sealed with it; tells whether it is. In a transaction."""
    executor.fetch_one(LOCK_ONE, {"key_id": key_id})
    return executor.execute(DELETE_UNUSED, {"key_id": key_id}) == 1


def _check_all(canaries: list[KeyCheck], sealer: Sealer) -> None:
    for canary in canaries:
        try:
            sealer.open(canary.sealed, _ROW_ID)
        except SealError as error:
            raise ConfigurationError(
                "ENCRYPTION_KEY is not the key that the stored passwords were sealed with, and none of"
                f" ENCRYPTION_KEYS_OLD is: {error}"
            ) from None
