"""The lists that there are: what each can be asked for, and what it answers."""

from typing import ClassVar, Literal
from uuid import UUID

from service.api.schemas.base import FactoryResponse, GatewayResponse, ResponseModel, WorkerResponse
from service.api.schemas.fields import SearchText
from service.api.schemas.pagination import CursorText, ListQuery, Pagination
from service.database.desired.factory_lists import FactoryFilter, FactorySort
from service.database.desired.gateway_lists import GatewayFilter, GatewaySort
from service.gateway_states import DesiredState, ReportedState


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


class GatewayListQuery(ListQuery):
    """Which page of the gateways; `q` is a part of the name or of the gateway_id."""

    KIND: ClassVar[str] = "gateways"

    factory_id: UUID | None = None
    state: ReportedState | None = None
    desired_state: DesiredState | None = None
    q: SearchText | None = None
    deleted: Literal["only"] | None = None
    sort: GatewaySort = "name"
    cursor: CursorText | None = None

    @property
    def which(self) -> GatewayFilter:
        """What the list is narrowed down by."""
        return GatewayFilter(
            factory_id=self.factory_id,
            state=self.state,
            desired_state=self.desired_state,
            text=self.q,
            is_deleted=self.deleted is not None,
        )


class WorkerListQuery(ListQuery):
    """Which page of the workers."""

    KIND: ClassVar[str] = "workers"
    ORDER: ClassVar[str] = "host"

    cursor: CursorText | None = None


class FactoryPage(ResponseModel):
    """A page of factories."""

    data: list[FactoryResponse]
    pagination: Pagination


class GatewayPage(ResponseModel):
    """A page of gateways."""

    data: list[GatewayResponse]
    pagination: Pagination


class WorkerPage(ResponseModel):
    """A page of workers."""

    data: list[WorkerResponse]
    pagination: Pagination
