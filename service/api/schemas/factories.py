"""Factories in requests and responses."""

from datetime import datetime
from typing import Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field

from service.api.schemas.base import RequestModel, ResponseModel, UpdateModel, unset
from service.api.schemas.fields import (
    Id,
    Location,
    Metadata,
    Name,
    SearchText,
    Timezone,
)
from service.api.schemas.pagination import CursorText, ListQuery, Pagination
from service.database.desired.factory_lists import FactoryFilter, FactorySort
from service.database.rows import Factory


class FactoryCreate(RequestModel):
    """A new factory."""

    name: Name
    organization_id: Id = Field(default_factory=unset)
    location: Location | None = None
    timezone: Timezone = "UTC"
    metadata: Metadata = Field(default_factory=dict)


class FactoryUpdate(UpdateModel):
    """Changes to a factory: what is not named stays."""

    name: Name = Field(default_factory=unset)
    organization_id: Id = Field(default_factory=unset)
    location: Location | None = None
    timezone: Timezone = Field(default_factory=unset)
    metadata: Metadata = Field(default_factory=unset)


class FactoryResponse(ResponseModel):
    """A factory."""

    id: UUID
    organization_id: UUID
    name: str
    location: str | None
    timezone: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    @classmethod
    def of(cls, row: Factory) -> Self:
        """From its row."""
        return cls.model_validate(row)


class FactoryListQuery(ListQuery):
    """Which page of the factories; `q` is a part of the name."""

    KIND: ClassVar[str] = "factories"

    q: SearchText | None = None
    deleted: Literal["only"] | None = None
    sort: FactorySort = "name"
    cursor: CursorText | None = None

    @property
    def which(self) -> FactoryFilter:
        """What the list is narrowed down by."""
        return FactoryFilter(text=self.q, is_deleted=self.deleted is not None)


class FactoryPage(ResponseModel):
    """A page of factories."""

    data: list[FactoryResponse]
    pagination: Pagination
