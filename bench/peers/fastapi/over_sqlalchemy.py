"""The gateways over SQLAlchemy 2, its ORM and asyncpg."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from fastapi import FastAPI
from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bench.peers.fastapi.application import create_app
from bench.peers.fastapi.errors import factory_unknown, gateway_id_taken, gateway_not_found
from bench.peers.fastapi.repository import Check, HasVersion
from bench.peers.fastapi.schemas import GatewayListQuery, GatewayResponse
from bench.peers.fastapi.settings import SESSION, Settings
from bench.peers.fastapi.tables import Factory, Gateway, GatewayConnection

SEEN = (
    select(Gateway, GatewayConnection.last_seen_at)
    .outerjoin(GatewayConnection, GatewayConnection.gateway_id == Gateway.id)
    .where(Gateway.deleted_at.is_(None))
)
SHOWN = [name for name in GatewayResponse.model_fields if name not in {"metadata", "last_seen_at"}]


class SqlAlchemyGateways:
    """See Gateways."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find_by_id(self, gateway_id: UUID) -> HasVersion | None:
        found = (await self._session.execute(SEEN.where(Gateway.id == gateway_id))).one_or_none()
        return None if found is None else versioned(*found)

    async def find_page(self, query: GatewayListQuery) -> tuple[Sequence[GatewayResponse], int]:
        page = narrowed(SEEN, query).order_by(Gateway.name, Gateway.id).limit(query.limit + 1)
        if query.place is not None:
            page = page.where(tuple_(Gateway.name, Gateway.id) > query.place)
        elif query.offset:
            page = page.offset(query.offset)
        counted = select(func.count()).select_from(Gateway).where(Gateway.deleted_at.is_(None))
        rows = (await self._session.execute(page)).all()
        total = await self._session.scalar(narrowed(counted, query))
        return [response_of(gateway, last_seen_at) for gateway, last_seen_at in rows], total or 0

    async def create(self, gateway_id: UUID, values: dict[str, Any]) -> HasVersion:
        await self._lock_factory(values["factory_id"])
        gateway = Gateway(id=gateway_id, **as_columns(values))
        self._session.add(gateway)
        await self._commit()
        return versioned(gateway, None)

    async def update(self, gateway_id: UUID, changes: dict[str, Any], check: Check | None) -> HasVersion:
        if "factory_id" in changes:
            await self._lock_factory(changes["factory_id"])
        statement = SEEN.where(Gateway.id == gateway_id)
        if check is not None:
            statement = statement.with_for_update(of=Gateway, key_share=True)
        found = (await self._session.execute(statement)).one_or_none()
        if found is None:
            raise gateway_not_found()
        gateway, last_seen_at = found
        if check is not None:
            check(gateway.version)
        for column, value in as_columns(changes).items():
            setattr(gateway, column, value)
        await self._commit()
        return versioned(gateway, last_seen_at)

    async def _lock_factory(self, factory_id: UUID) -> None:
        wanted = select(Factory.id).where(Factory.id == factory_id, Factory.deleted_at.is_(None))
        if await self._session.scalar(wanted.with_for_update(read=True)) is None:
            raise factory_unknown()

    async def _commit(self) -> None:
        try:
            await self._session.commit()
        except IntegrityError as error:
            if "gateways_live_device_id_key" in str(error.orig):
                raise gateway_id_taken() from None
            raise


def narrowed(statement: Select[Any], query: GatewayListQuery) -> Select[Any]:
    """Adds the requested filters."""
    if query.factory_id is not None:
        statement = statement.where(Gateway.factory_id == query.factory_id)
    if query.desired_state is not None:
        statement = statement.where(Gateway.desired_state == query.desired_state)
    return statement


def as_columns(values: dict[str, Any]) -> dict[str, Any]:
    """Renames `metadata`, which SQLAlchemy reserves."""
    return {("metadata_" if name == "metadata" else name): value for name, value in values.items()}


def response_of(gateway: Gateway, last_seen_at: datetime | None) -> GatewayResponse:
    """Builds the response from a row and its last contact."""
    shown = {name: getattr(gateway, name) for name in SHOWN}
    return GatewayResponse(**shown, metadata=gateway.metadata_, last_seen_at=last_seen_at)


def versioned(gateway: Gateway, last_seen_at: datetime | None) -> HasVersion:
    """With its version."""
    return HasVersion(response_of(gateway, last_seen_at), gateway.version)


def make_app() -> FastAPI:
    """The application."""
    settings = Settings.read()
    engine = create_async_engine(
        make_url(settings.database_url).set(drivername="postgresql+asyncpg", query={"ssl": "disable"}),
        pool_size=settings.pool_max,
        max_overflow=0,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={"server_settings": SESSION},
    )
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    async def gateways() -> AsyncIterator[SqlAlchemyGateways]:
        async with sessions() as session:
            yield SqlAlchemyGateways(session)

    return create_app(settings, lifespan, gateways)


app = make_app()
