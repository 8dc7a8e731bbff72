"""Requests and responses."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bench.peers.fastapi.cursors import Cursor, check_cursor, decode_cursor
from bench.peers.fastapi.fields import Email, Metadata, Name, Password, ShortText, WebSocketUrl


class RequestModel(BaseModel):
    """A request that allows no other fields."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def changes(self) -> dict[str, Any]:
        """Returns the provided fields except the password."""
        return {name: getattr(self, name) for name in self.model_fields_set if name != "password"}


class NoQuery(RequestModel):
    """For requests that take no parameters."""


class GatewayListQuery(RequestModel):
    """Which page."""

    limit: int = Field(20, ge=1, le=100)
    offset: int | None = Field(None, ge=0, le=1_000_000)
    factory_id: UUID | None = None
    desired_state: Literal["connected", "disconnected"] | None = None
    cursor: Annotated[str, AfterValidator(check_cursor)] | None = None

    @model_validator(mode="after")
    def check(self) -> Self:
        """Rejects an offset together with a cursor."""
        if self.cursor is not None and self.offset is not None:
            raise ValueError("give an offset or a cursor, not both")
        return self

    @property
    def place(self) -> Cursor | None:
        """Returns the row after which the page begins."""
        return None if self.cursor is None else decode_cursor(self.cursor)


class GatewayCreate(RequestModel):
    """A new gateway."""

    factory_id: UUID
    gateway_id: ShortText
    name: Name
    url: WebSocketUrl
    email: Email
    password: Password
    model: ShortText | None = None
    firmware_version: ShortText | None = None
    metadata: Metadata = Field(default_factory=dict)


class GatewayUpdate(RequestModel):
    """Changes to a gateway; omitted fields stay."""

    factory_id: UUID = Field(None, validate_default=False)
    gateway_id: ShortText = Field(None, validate_default=False)
    name: Name = Field(None, validate_default=False)
    url: WebSocketUrl = Field(None, validate_default=False)
    email: Email = Field(None, validate_default=False)
    password: Password = Field(None, validate_default=False)
    model: ShortText | None = None
    firmware_version: ShortText | None = None
    metadata: Metadata = Field(None, validate_default=False)


class GatewayResponse(BaseModel):
    """A gateway."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    factory_id: UUID
    gateway_id: str
    name: str
    model: str | None
    firmware_version: str | None
    url: str
    email: str
    desired_state: Literal["connected", "disconnected"]
    generation: int
    metadata: dict[str, Any]
    last_seen_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class Pagination(BaseModel):
    """The position of a page in its list."""

    total: int
    limit: int
    offset: int | None
    has_next: bool
    has_prev: bool
    next_cursor: str | None


class GatewayPage(BaseModel):
    """A page of gateways."""

    data: list[GatewayResponse]
    pagination: Pagination


class ErrorDetail(BaseModel):
    """One mistake."""

    field: str
    message: str
    type: str


class ErrorBody(BaseModel):
    """The error's code, message and details."""

    code: str
    message: str
    details: list[ErrorDetail]
    request_id: str


class ErrorResponse(BaseModel):
    """The body of every response with a status of 400 or more."""

    error: ErrorBody
