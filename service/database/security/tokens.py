"""API tokens: their names, scopes and hashes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from service.database.engine.query import Command, Executor, Id, Query, required
from service.database.rows import ApiToken
from service.errors import TokenNotFoundError
from service.tokens import Scope


@dataclass(frozen=True, slots=True)
class LiveToken:
    """A token that was not revoked."""

    id: UUID
    name: str
    scope: str
    token_hash: bytes = field(repr=False)
    was_used_today: bool


INSERT = Query(
    """
    INSERT INTO api_tokens (name, scope, token_hash) VALUES (%(name)s, %(scope)s, %(token_hash)s)
    RETURNING id
    """,
    Id,
)

FIND_LIVE = Query(
    """
    SELECT
        id, name, scope, token_hash,
        coalesce(last_used_at >= date_trunc('day', now(), 'UTC'), FALSE) AS was_used_today
    FROM api_tokens
    WHERE id = %(id)s AND revoked_at IS NULL
    """,
    LiveToken,
    retryable=True,
)

FIND_LIVE_AMONG = Query(
    "SELECT id FROM api_tokens WHERE id = ANY(%(ids)s::uuid[]) AND revoked_at IS NULL", Id, retryable=True
)

FIND_ALL = Query(
    """
    SELECT id, name, scope, created_at, last_used_at, revoked_at
    FROM api_tokens
    ORDER BY id
    """,
    ApiToken,
    retryable=True,
)

# Of many requests at midnight one writes, and none holds a connection to wait for another.
NOTE_USE = Command(
    """
    UPDATE api_tokens SET last_used_at = date_trunc('day', now(), 'UTC')
    WHERE id = (
        SELECT id FROM api_tokens
        WHERE id = %(id)s AND (last_used_at IS NULL OR last_used_at < date_trunc('day', now(), 'UTC'))
        FOR NO KEY UPDATE SKIP LOCKED
    )
    """
)

REVOKE = Command("UPDATE api_tokens SET revoked_at = now() WHERE name = %(name)s AND revoked_at IS NULL")


class TokenRepository:
    """Who may use the API."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def create(self, name: str, scope: Scope, token_hash: bytes) -> UUID:
        """Raises TokenNameConflictError."""
        values = {"name": name, "scope": scope.value, "token_hash": token_hash}
        return required(self._executor.fetch_one(INSERT, values)).id

    def find_live(self, token_id: UUID) -> LiveToken | None:
        """None for one that is not there, or was revoked."""
        return self._executor.fetch_one(FIND_LIVE, {"id": token_id})

    def find_live_among(self, token_ids: Collection[UUID]) -> set[UUID]:
        """Those of them that are there and were not revoked."""
        return {row.id for row in self._executor.fetch_all(FIND_LIVE_AMONG, {"ids": list(token_ids)})}

    def find_all(self) -> Sequence[ApiToken]:
        """All that ever were, oldest first; the revoked ones too."""
        return self._executor.fetch_all(FIND_ALL, {})

    def note_use(self, token_id: UUID) -> None:
        """It was used today. Does nothing while somebody else changes the token."""
        self._executor.execute(NOTE_USE, {"id": token_id})

    def revoke(self, name: str) -> None:
        """Ends a token at once. Raises TokenNotFoundError."""
        if self._executor.execute(REVOKE, {"name": name}) == 0:
            raise TokenNotFoundError
