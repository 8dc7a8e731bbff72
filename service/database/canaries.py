"""The canary: a known text sealed with the key in use, by which a wrong key is noticed at start."""

from dataclasses import dataclass, field
from uuid import UUID

from service.crypto import Sealer, Secret
from service.database.query import Command, Executor, Query, required
from service.errors import ConfigurationError, SealError

_ROW_ID = UUID(int=0)
_TEXT = "the canary sings"


@dataclass(frozen=True, slots=True)
class Canary:
    """A sealed canary."""

    key_id: str
    sealed: bytes = field(repr=False)


FIND = Query("SELECT key_id, sealed FROM encryption_canaries ORDER BY created_at LIMIT 1", Canary)

# Only the first process ever gets to leave one: two that start at once agree on whose key counts.
INSERT_FIRST = Command(
    """
    INSERT INTO encryption_canaries (key_id, sealed)
    SELECT %(key_id)s, %(sealed)s
    WHERE NOT EXISTS (SELECT FROM encryption_canaries)
    """
)

LOCK = Command("LOCK TABLE encryption_canaries IN SHARE ROW EXCLUSIVE MODE")


def check_key(executor: Executor, sealer: Sealer) -> None:
    """Makes sure that the key is the one that stored passwords were sealed with; call it in a transaction.

    Leaves a canary when there is none. Raises ConfigurationError.
    """
    if executor.fetch_one(FIND, {}) is None:
        executor.execute(LOCK, {})
        executor.execute(
            INSERT_FIRST, {"key_id": sealer.key_id, "sealed": sealer.seal(Secret(_TEXT), _ROW_ID)}
        )
    canary = required(executor.fetch_one(FIND, {}))
    try:
        sealer.open(canary.sealed, _ROW_ID)
    except SealError as error:
        raise ConfigurationError(
            f"ENCRYPTION_KEY is not the key that the stored passwords were sealed with: {error}"
        ) from None
