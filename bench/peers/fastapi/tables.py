"""The tables, as SQLAlchemy maps them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, FetchedValue, ForeignKey, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KEPT_BY_TRIGGERS: dict[str, Any] = {"server_default": FetchedValue(), "server_onupdate": FetchedValue()}


class Base(DeclarativeBase):
    """Fetches columns written by triggers and defaults with the statement."""

    __mapper_args__ = {"eager_defaults": True}
    type_annotation_map = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        bytes: LargeBinary,
        int: BigInteger,
    }


class Factory(Base):
    """The columns of a factory that gateways need."""

    __tablename__ = "factories"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    deleted_at: Mapped[datetime | None]


class Gateway(Base):
    """A gateway."""

    __tablename__ = "gateways"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    factory_id: Mapped[UUID] = mapped_column(ForeignKey("factories.id"))
    gateway_id: Mapped[str] = mapped_column("device_id")
    name: Mapped[str]
    model: Mapped[str | None]
    firmware_version: Mapped[str | None]
    url: Mapped[str]
    email: Mapped[str]
    sealed_password: Mapped[bytes] = mapped_column(deferred=True)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    desired_state: Mapped[str] = mapped_column(server_default=FetchedValue())
    generation: Mapped[int] = mapped_column(**KEPT_BY_TRIGGERS)
    version: Mapped[int] = mapped_column(**KEPT_BY_TRIGGERS)
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    updated_at: Mapped[datetime] = mapped_column(**KEPT_BY_TRIGGERS)
    deleted_at: Mapped[datetime | None]


class GatewayConnection(Base):
    """The columns of a worker's last report that are shown."""

    __tablename__ = "gateway_connections"

    gateway_id: Mapped[UUID] = mapped_column(ForeignKey("gateways.id"), primary_key=True)
    last_seen_at: Mapped[datetime | None]
