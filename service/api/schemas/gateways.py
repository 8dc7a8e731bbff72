"""Gateways in requests and responses."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from service.api.schemas.base import ReadOnly, RequestModel, ResponseModel, UpdateModel, unset
from service.api.schemas.fields import (
    DeviceId,
    Email,
    Id,
    Metadata,
    Name,
    Password,
    SearchText,
    ShortText,
    States,
    WebSocketUrl,
)
from service.api.schemas.gateway_status import StatusResponse
from service.api.schemas.pagination import CursorText, ListQuery, Pagination
from service.database.desired.gateway_lists import GatewayFilter, GatewaySort
from service.gateway_states import DesiredState


class GatewayCreate(RequestModel):
    """A new gateway. `gateway_id` is the device's own name."""

    factory_id: Id
    gateway_id: DeviceId
    name: Name
    url: WebSocketUrl
    email: Email
    password: Password
    model: ShortText | None = None
    firmware_version: ShortText | None = None
    metadata: Metadata = Field(default_factory=dict)


class GatewayUpdate(UpdateModel):
    """Changes to a gateway: what is not named stays, the password too."""

    READ_ONLY = UpdateModel.READ_ONLY | {"desired_state", "generation", "last_seen_at", "status"}

    factory_id: Id = Field(default_factory=unset)
    gateway_id: DeviceId = Field(default_factory=unset)
    name: Name = Field(default_factory=unset)
    url: WebSocketUrl = Field(default_factory=unset)
    email: Email = Field(default_factory=unset)
    password: Password = Field(default_factory=unset)
    model: ShortText | None = None
    firmware_version: ShortText | None = None
    metadata: Metadata = Field(default_factory=unset)
    desired_state: ReadOnly
    generation: ReadOnly
    last_seen_at: ReadOnly
    status: ReadOnly


class GatewayResponse(ResponseModel):
    """A gateway as it should be, and when it was last heard of; its password is never shown."""

    id: UUID
    factory_id: UUID
    gateway_id: str
    name: str
    model: str | None
    firmware_version: str | None
    url: str
    email: str
    desired_state: DesiredState
    generation: int
    metadata: dict[str, Any]
    last_seen_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class GatewayListQuery(ListQuery):
    """Which page of the gateways; `q` is a part of the name or of the gateway_id."""

    KIND: ClassVar[str] = "gateways"

    factory_id: UUID | None = None
    state: States | None = None
    desired_state: DesiredState | None = None
    q: SearchText | None = None
    deleted: Literal["only"] | None = None
    sort: GatewaySort = "name"
    include: Literal["status"] | None = None
    cursor: CursorText | None = None

    @property
    def which(self) -> GatewayFilter:
        """What the list is narrowed down by."""
        return GatewayFilter(
            factory_id=self.factory_id,
            states=self.state or (),
            desired_state=self.desired_state,
            text=self.q,
            is_deleted=self.deleted is not None,
        )


class ListedGatewayResponse(GatewayResponse):
    """A gateway in a list, with its status if the query asks for it."""

    status: Annotated[
        StatusResponse | None,
        Field(
            exclude_if=lambda status: status is None,
            description="Present only with `include=status`: as in `/status`, or null if it is deleted.",
        ),
    ] = None


class GatewayPage(ResponseModel):
    """A page of gateways."""

    data: list[ListedGatewayResponse]
    pagination: Pagination
