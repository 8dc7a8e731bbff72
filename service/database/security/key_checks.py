"""Key checks: a text sealed with each key in use. A process that cannot open one has the wrong keys.

A key is in use while it has a key check. The check is deleted only when no password is sealed with the key;
from then on the database refuses passwords that are (refuse_retired_key in the schema).
"""

from dataclasses import dataclass, field
from uuid import UUID

from service.crypto import Sealer, Secret
from service.database.engine.query import Command, Executor, Query
from service.errors import ConfigurationError, SealError

_ROW_ID = UUID(int=0)
_TEXT = "Millgate key check"


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """The sealed text of a key."""

    key_id: str
    sealed: bytes = field(repr=False)


FIND_ALL = Query("SELECT key_id, sealed FROM encryption_key_checks ORDER BY created_at, key_id", KeyCheck)

INSERT = Command(
    """
    INSERT INTO encryption_key_checks (key_id, sealed) VALUES (%(key_id)s, %(sealed)s)
    ON CONFLICT (key_id) DO NOTHING
    """
)

# Of two processes that start together with different keys, the first to lock decides which key counts.
LOCK = Command("LOCK TABLE encryption_key_checks IN SHARE ROW EXCLUSIVE MODE")

# Until the transaction ends nothing new is sealed with this key, and what was sealed before is visible.
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
    """Checks that every key in use opens, in a transaction. Raises ConfigurationError.

    Stores a key check if there is none. With `will_seal` the key that seals is in use from now on.
    """
    checks = executor.fetch_all(FIND_ALL, {})
    if not checks or (will_seal and sealer.key_id not in {check.key_id for check in checks}):
        executor.execute(LOCK, {})
        checks = executor.fetch_all(FIND_ALL, {})
        _check_all(checks, sealer)
        if not checks or will_seal:
            sealed = sealer.seal(Secret(_TEXT), _ROW_ID)
            executor.execute(INSERT, {"key_id": sealer.key_id, "sealed": sealed})
    else:
        _check_all(checks, sealer)


def find_keys_in_use(executor: Executor) -> list[str]:
    """The ids of all keys that passwords may be sealed with, the oldest first."""
    return [check.key_id for check in executor.fetch_all(FIND_ALL, {})]


def retire_key(executor: Executor, key_id: str) -> bool:
    """Takes a key out of use, if no password is sealed with it; returns whether it did. In a transaction."""
    executor.fetch_one(LOCK_ONE, {"key_id": key_id})
    return executor.execute(DELETE_UNUSED, {"key_id": key_id}) == 1


def _check_all(checks: list[KeyCheck], sealer: Sealer) -> None:
    for check in checks:
        try:
            sealer.open(check.sealed, _ROW_ID)
        except SealError as error:
            raise ConfigurationError(
                "ENCRYPTION_KEY is not the key that the stored passwords were sealed with, and none of"
                f" ENCRYPTION_KEYS_OLD is: {error}"
            ) from None
