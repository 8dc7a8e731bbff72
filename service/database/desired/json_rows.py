"""Rows as the API shows them: JSON that PostgreSQL writes, field by field as in the responses' models.

A row that only passes through costs a process of the API a third of what it does as an object. Tests hold
what is written here against the models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from service.database.engine.paging import Total


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
    body: bytes


@dataclass(frozen=True, slots=True)
class JsonPage:
    """Rows of a list as JSON, and how many rows the whole list has."""

    bodies: Sequence[bytes]
    total: Total


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

# Of a gateway `g`.
GATEWAY: LiteralString = """
    (
        SELECT row_to_json(shown)
        FROM (
            SELECT
                g.id, g.factory_id, g.device_id AS gateway_id, g.name, g.model, g.firmware_version,
                g.url, g.email, g.desired_state, g.generation, g.metadata,
                (
                    SELECT rfc3339(c.last_seen_at) FROM gateway_connections AS c WHERE c.gateway_id = g.id
                ) AS last_seen_at,
                rfc3339(g.created_at) AS created_at, rfc3339(g.updated_at) AS updated_at,
                rfc3339(g.deleted_at) AS deleted_at
        ) AS shown
    ) AS body
"""
