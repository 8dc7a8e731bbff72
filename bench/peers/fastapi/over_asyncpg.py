"""The gateways over plain asyncpg, with SQL by hand."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from fastapi import FastAPI, Request

from bench.peers.fastapi.application import create_app
from bench.peers.fastapi.errors import factory_unknown, gateway_id_taken, gateway_not_found
from bench.peers.fastapi.repository import Check, HasVersion
from bench.peers.fastapi.schemas import GatewayListQuery, GatewayResponse
from bench.peers.fastapi.settings import SESSION, Settings

COLUMNS = """
    g.id, g.factory_id, g.device_id AS gateway_id, g.name, g.model, g.firmware_version, g.url, g.email,
    g.desired_state, g.generation, g.metadata, g.created_at, g.updated_at, g.deleted_at, g.version
"""
FIND = f"""
    SELECT {COLUMNS}, c.last_seen_at
    FROM gateways AS g LEFT JOIN gateway_connections AS c ON c.gateway_id = g.id
    WHERE g.deleted_at IS NULL
"""
INSERT = """
    INSERT INTO gateways AS g (
        id, factory_id, device_id, name, model, firmware_version, url, email, sealed_password, metadata
    )
    SELECT $1, f.id, $3, $4, $5, $6, $7, $8, $9, $10
    FROM factories AS f
    WHERE f.id = $2 AND f.deleted_at IS NULL
    FOR SHARE
"""
LOCK_FACTORY = "SELECT FROM factories WHERE id = $1 AND deleted_at IS NULL FOR SHARE"
LOCK = "SELECT version FROM gateways WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE"
LAST_SEEN = "(SELECT c.last_seen_at FROM gateway_connections AS c WHERE c.gateway_id = g.id) AS last_seen_at"


class AsyncpgGateways:
    """See Gateways."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def find_by_id(self, gateway_id: UUID) -> HasVersion | None:
        row = await self._pool.fetchrow(f"{FIND} AND g.id = $1", gateway_id)
        return None if row is None else versioned(row)

    async def find_page(self, query: GatewayListQuery) -> tuple[Sequence[GatewayResponse], int]:
        conditions, values = [], []
        for column, value in (("factory_id", query.factory_id), ("desired_state", query.desired_state)):
            if value is not None:
                values.append(value)
                conditions.append(f" AND g.{column} = ${len(values)}")
        where = "".join(conditions)
        count, counted = f"SELECT count(*) FROM gateways AS g WHERE g.deleted_at IS NULL{where}", list(values)
        if query.place is not None:
            values += query.place
            where += f" AND (g.name, g.id) > (${len(values) - 1}, ${len(values)})"
        values += [query.limit + 1, query.offset or 0]
        page = f"{FIND}{where} ORDER BY g.name, g.id LIMIT ${len(values) - 1} OFFSET ${len(values)}"
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(page, *values)
            total = await connection.fetchval(count, *counted)
        return [GatewayResponse.model_validate(dict(row)) for row in rows], total

    async def create(self, gateway_id: UUID, values: dict[str, Any]) -> HasVersion:
        try:
            row = await self._pool.fetchrow(
                f"{INSERT} RETURNING {COLUMNS}",
                gateway_id,
                values["factory_id"],
                values["gateway_id"],
                values["name"],
                values["model"],
                values["firmware_version"],
                values["url"],
                values["email"],
                values["sealed_password"],
                values["metadata"],
            )
        except asyncpg.UniqueViolationError:
            raise gateway_id_taken() from None
        if row is None:
            raise factory_unknown()
        return versioned(row)

    async def update(self, gateway_id: UUID, changes: dict[str, Any], check: Check | None) -> HasVersion:
        named = changes or {"id": gateway_id}
        columns = ("device_id" if name == "gateway_id" else name for name in named)
        changed = ", ".join(f"{column} = ${number}" for number, column in enumerate(columns, 2))
        update = f"""
            UPDATE gateways AS g SET {changed} WHERE g.id = $1 AND g.deleted_at IS NULL
            RETURNING {COLUMNS}, {LAST_SEEN}
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                if "factory_id" in changes:
                    factory = await connection.fetchrow(LOCK_FACTORY, changes["factory_id"])
                    if factory is None:
                        raise factory_unknown()
                if check is not None:
                    version = await connection.fetchval(LOCK, gateway_id)
                    if version is not None:
                        check(version)
                row = await connection.fetchrow(update, gateway_id, *named.values())
        except asyncpg.UniqueViolationError:
            raise gateway_id_taken() from None
        if row is None:
            raise gateway_not_found()
        return versioned(row)


def versioned(row: asyncpg.Record) -> HasVersion:
    """From a row."""
    values = dict(row)
    return HasVersion(GatewayResponse.model_validate(values), values["version"])


async def prepare_connection(connection: asyncpg.Connection) -> None:
    """Decodes JSON columns."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value).decode(),
        decoder=orjson.loads,
    )


def make_app() -> FastAPI:
    """The application."""
    settings = Settings.read()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(
            settings.database_url,
            min_size=1,
            max_size=settings.pool_max,
            init=prepare_connection,
            command_timeout=5,
            server_settings=SESSION,
        ) as pool:
            app.state.pool = pool
            yield

    async def gateways(request: Request) -> AsyncpgGateways:
        return AsyncpgGateways(request.app.state.pool)

    return create_app(settings, lifespan, gateways)


app = make_app()
