"""Which key each stored password is sealed with, and sealing it anew. Deleted gateways' passwords too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from service.database.engine.query import Command, Executor, Query


@dataclass(frozen=True, slots=True)
class KeyUse:
    """How many passwords are sealed with a key."""

    key_id: str
    count: int


@dataclass(frozen=True, slots=True)
class SealedPassword:
    """A gateway's password, sealed."""

    id: UUID
    sealed_password: bytes = field(repr=False)


COUNT_BY_KEY = Query(
    """
    SELECT key_id_of(sealed_password) AS key_id, count(*) AS count
    FROM gateways
    GROUP BY key_id_of(sealed_password)
    ORDER BY count DESC, key_id
    """,
    KeyUse,
    retryable=True,
)

# Whatever somebody is changing at this moment is left for later: who waits for nobody is in nobody's way.
LOCK_BATCH = Query(
    """
    SELECT id, sealed_password
    FROM gateways
    WHERE id > %(after)s AND key_id_of(sealed_password) <> %(key_id)s
    ORDER BY id
    LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
    """,
    SealedPassword,
)

# See bump_gateway_versions in the schema.
ALLOW_ONLY_REENCRYPTION = Command("SET LOCAL millgate.reencrypting = 'yes'")

REENCRYPT = Command(
    """
    UPDATE gateways AS g SET sealed_password = anew.sealed_password
    FROM unnest(%(ids)s::uuid[], %(olds)s::bytea[], %(news)s::bytea[]) AS anew (id, was, sealed_password)
    WHERE g.id = anew.id AND g.sealed_password = anew.was
    """
)


class ReencryptionRepository:
    """For rotating keys. `lock_batch` and `reencrypt` belong into one transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def count_by_key(self) -> Mapping[str, int]:
        """How many passwords are sealed with each key, by key id."""
        return {use.key_id: use.count for use in self._executor.fetch_all(COUNT_BY_KEY, {})}

    def lock_batch(self, key_id: str, after: UUID, limit: int) -> Sequence[SealedPassword]:
        """The next that are sealed with another key than this one, and that nobody changes just now."""
        return self._executor.fetch_all(LOCK_BATCH, {"key_id": key_id, "after": after, "limit": limit})

    def reencrypt(self, sealed: Sequence[tuple[SealedPassword, bytes]]) -> int:
        """Replaces seals of the same passwords: to everybody else nothing has changed. Tells how many."""
        self._executor.execute(ALLOW_ONLY_REENCRYPTION, {})
        return self._executor.execute(
            REENCRYPT,
            {
                "ids": [was.id for was, _ in sealed],
                "olds": [was.sealed_password for was, _ in sealed],
                "news": [anew for _, anew in sealed],
            },
        )
