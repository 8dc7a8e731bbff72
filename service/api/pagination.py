"""Pages of a list: by offset for people, by cursor for machines. Lists are ordered by name, then id."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Generic, Protocol, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from service.api.schemas import FactoryResponse, GatewayResponse, ResponseModel, WorkerResponse
from service.database.paging import PageStart

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
MAX_OFFSET = 1_000_000
UUID_BYTES = 16
MAX_NAME_CHARACTERS = 200


class Listed(Protocol):
    """A row of a list."""

    @property
    def id(self) -> UUID:
        """Orders rows of one name."""

    @property
    def name(self) -> str:
        """Orders rows."""


Item = TypeVar("Item", bound=Listed)


def encode_cursor(row: Listed) -> str:
    """A text that names the place behind this row, whatever becomes of the row."""
    return base64.urlsafe_b64encode(row.id.bytes + row.name.encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> PageStart:
    """Raises PydanticCustomError for what encode_cursor never made."""
    try:
        decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        row_id, name = UUID(bytes=decoded[:UUID_BYTES]), decoded[UUID_BYTES:].decode()
    except (ValueError, binascii.Error):
        row_id, name = None, ""
    if row_id is None or "\x00" in name or not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise PydanticCustomError("cursor", "must be a next_cursor of this list")
    return PageStart(after=(name, row_id))


def parse_whole_number(text: object) -> int:
    """Digits and nothing else: no sign, no space, no point."""
    if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_OFFSET)):
        return int(text)
    raise PydanticCustomError("whole_number", "must be a whole number within its bounds")


Limit = Annotated[int, BeforeValidator(parse_whole_number), Field(ge=1, le=MAX_LIMIT)]
Offset = Annotated[int, BeforeValidator(parse_whole_number), Field(ge=0, le=MAX_OFFSET)]
Cursor = Annotated[PageStart, PlainValidator(decode_cursor, json_schema_input_type=str)]


class QueryModel(BaseModel):
    """A request's query: nothing but the parameters that are listed."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class NoQuery(QueryModel):
    """For requests that take no parameters."""


class ListQuery(QueryModel):
    """Which page of a list."""

    limit: Limit = DEFAULT_LIMIT
    offset: Offset | None = None
    cursor: Cursor | None = None

    @model_validator(mode="after")
    def offset_or_cursor(self) -> Self:
        """A page begins at one place."""
        if self.offset is not None and self.cursor is not None:
            raise PydanticCustomError("offset_and_cursor", "give an offset or a cursor, not both")
        return self

    @property
    def start(self) -> PageStart:
        """Where the page begins."""
        return self.cursor or PageStart(rows_skipped=self.offset or 0)


class GatewayListQuery(ListQuery):
    """Which page of the gateways, of one factory or of all."""

    factory_id: UUID | None = None


class Pagination(ResponseModel):
    """Where a page is in its list. `offset` is null on a page that was asked for by cursor."""

    total: int
    limit: int
    offset: int | None
    has_next: bool
    has_prev: bool
    next_cursor: str | None


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


class Page(Generic[Item]):
    """What a query found: ask the repository for `query.limit + 1` rows, so that a next page shows."""

    def __init__(self, query: ListQuery, found: Sequence[Item], total: int) -> None:
        self.rows = found[: query.limit]
        has_next = len(found) > query.limit
        self.pagination = Pagination(
            total=total,
            limit=query.limit,
            offset=query.start.rows_skipped if query.cursor is None else None,
            has_next=has_next,
            has_prev=query.cursor is not None or query.start.rows_skipped > 0,
            next_cursor=encode_cursor(self.rows[-1]) if has_next else None,
        )
