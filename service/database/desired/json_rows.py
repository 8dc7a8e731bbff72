"""Rows as the API shows them: JSON that PostgreSQL writes, field by field as in the responses' models.

A row that only passes through costs a process of the API a third of what it does as an object. Tests hold
what is written here against the models.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from service.database.engine.paging import Total
from service.gateway_states import ACTIONS, UNLISTED_ACTION


@dataclass(frozen=True, slots=True)
class JsonRow:
    """A row as JSON, and how often it was changed."""

    id: UUID
    version: int
    body: bytes


@dataclass(frozen=True, slots=True)
class JsonUpdate(JsonRow):
    """A row behind an update, and whether that changed anything."""

    is_changed: bool


@dataclass(frozen=True, slots=True)
class JsonItem:
    """A row of a page as JSON, and how many rows all pages have, as far as they are counted."""

    total: int
    place: str | None
    """What the page is ordered by, unless it is a field of the body."""
    body: bytes


@dataclass(frozen=True, slots=True)
class JsonPage:
    """Rows of a list as JSON, and how many rows the whole list has."""

    bodies: Sequence[bytes]
    places: Sequence[str | None]
    """What each is ordered by, unless it is a field of the body."""
    total: Total

    @classmethod
    def of(cls, items: Sequence[JsonItem], total: Total) -> "JsonPage":
        """From the rows of a statement."""
        return cls([item.body for item in items], [item.place for item in items], total)


# Behind the row, of an UPDATE: whether its version was raised.
IS_CHANGED: LiteralString = ", new.version <> old.version AS is_changed"

# Of a factory `f`.
FACTORY: LiteralString = """
    (
        SELECT row_to_json(shown)
        FROM (
            SELECT
                f.id, f.organization_id, f.name, f.location, f.timezone, f.metadata,
                rfc3339(f.created_at) AS created_at, rfc3339(f.updated_at) AS updated_at,
                rfc3339(f.deleted_at) AS deleted_at
        ) AS shown
    ) AS body
"""

_GATEWAY_FIELDS: LiteralString = """
    g.id, g.factory_id, g.device_id AS gateway_id, g.name, g.model, g.firmware_version,
    g.url, g.email, g.desired_state, g.generation, g.metadata,
    (
        SELECT rfc3339(c.last_seen_at) FROM gateway_connections AS c WHERE c.gateway_id = g.id
    ) AS last_seen_at,
    rfc3339(g.created_at) AS created_at, rfc3339(g.updated_at) AS updated_at,
    rfc3339(g.deleted_at) AS deleted_at
"""
# Of what is deleted there is no status.
_STATUS: LiteralString = """
    (
        SELECT row_to_json(told)
        FROM (
            SELECT
                s.id, s.desired_state, s.state, rfc3339(s.state_since) AS state_since,
                CASE WHEN s.reason_code IS NOT NULL THEN json_build_object(
                    'code', s.reason_code, 'message', s.reason_message, 'phase', s.reason_phase,
                    'retryable', s.reason_retryable, 'at', rfc3339(s.reason_at),
                    'action', coalesce(%(actions)s::jsonb ->> s.reason_code, %(unlisted_action)s::text)
                ) END AS reason,
                s.attempt, rfc3339(s.next_attempt_at) AS next_attempt_at,
                rfc3339(s.connected_since) AS connected_since,
                rfc3339(s.last_connected_at) AS last_connected_at,
                rfc3339(s.last_disconnected_at) AS last_disconnected_at,
                rfc3339(s.last_seen_at) AS last_seen_at, rfc3339(s.last_message_at) AS last_message_at,
                s.generation, s.observed_generation,
                CASE WHEN s.worker_id IS NOT NULL THEN json_build_object(
                    'id', s.worker_id, 'host', s.worker_host,
                    'lease_expires_at', rfc3339(s.worker_lease_expires_at)
                ) END AS worker,
                rfc3339(s.as_of) AS as_of
            FROM gateway_statuses AS s
            WHERE s.id = g.id
        ) AS told
    ) AS status
"""
# Of a gateway `g`.
_BODY: LiteralString = " (SELECT row_to_json(shown) FROM (SELECT"
_AS_BODY: LiteralString = ") AS shown) AS body"
GATEWAY: LiteralString = _BODY + _GATEWAY_FIELDS + _AS_BODY
GATEWAY_WITH_STATUS: LiteralString = _BODY + _GATEWAY_FIELDS + "," + _STATUS + _AS_BODY
STATUS_PARAMETERS: Mapping[str, object] = {
    "actions": json.dumps(ACTIONS),
    "unlisted_action": UNLISTED_ACTION,
}
