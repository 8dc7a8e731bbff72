"""Pages of a list: by offset for people, by cursor for machines."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Generic, Protocol, Self, TypeVar
from uuid import UUID

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from service.api.schemas.base import QueryModel, ResponseModel
from service.api.schemas.cursors import (
    NEVER,
    Cursor,
    check_time_key,
    decode_cursor,
    encode_cursor,
    not_of_this_list,
    scope_of,
    time_key,
)
from service.database.desired.json_rows import JsonPage
from service.database.engine.paging import MOST_COUNTED, PageStart, Total

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
MAX_OFFSET = 1_000_000
_NOT_OF_THE_SCOPE = {"limit", "offset", "cursor", "include"}


class Listed(Protocol):
    """A row of a list."""

    @property
    def id(self) -> UUID:
        """Orders rows of one key."""


Item = TypeVar("Item", bound=Listed)
_TOTAL = (
    "Exact for live gateways without filters or with factory_id alone. Every other list (gateways by any"
    f" other filter, factories, workers, the factories of the summary) stops counting at {MOST_COUNTED}."
)
TotalIsExact = Annotated[
    bool,
    Field(
        exclude_if=bool,
        description=f"Present only if false: counting stopped at {MOST_COUNTED} rows, and there are more.",
    ),
]


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """How a whole number in a query is read. Bounds belong to its field as well, for the document."""

    least: int
    most: int

    def __call__(self, text: object) -> int:
        """Digits and nothing else: no sign, no space, no point. Raises PydanticCustomError."""
        if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= len(str(self.most)):
            number = int(text)
            if self.least <= number <= self.most:
                return number
        raise PydanticCustomError("whole_number", f"must be a whole number from {self.least} to {self.most}")


Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(WholeNumber(1, MAX_LIMIT))]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET), BeforeValidator(WholeNumber(0, MAX_OFFSET))]
CursorText = Annotated[
    Cursor,
    PlainValidator(decode_cursor, json_schema_input_type=str),
    Field(description="A `next_cursor` from this list with the same sort and filters; excludes `offset`."),
]


class ListQuery(QueryModel):
    """Which page of a list. A list names its KIND, and what it is ordered by unless it has a `sort`.

    Its last field is `cursor`, after everything that the cursor must match: the sort and the filters.
    """

    KIND: ClassVar[str]
    ORDER: ClassVar[str] = "name"

    limit: Limit = DEFAULT_LIMIT
    offset: Offset | None = None

    @field_validator("cursor", mode="after", check_fields=False)
    @classmethod
    def cursor_fits(cls, cursor: Cursor | None, info: ValidationInfo) -> Cursor | None:
        """It was made by this list, in this order, narrowed down in this way."""
        wanted = set(cls.model_fields) - _NOT_OF_THE_SCOPE
        # If one of these is invalid, its own error is reported.
        if cursor is None or not wanted <= info.data.keys():
            return cursor
        if cursor.scope != scope_of(cls.KIND, {name: info.data[name] for name in wanted}):
            raise not_of_this_list()
        if _column(info.data.get("sort", cls.ORDER)).endswith(("_at", "_since")):
            check_time_key(cursor.key)
        return cursor

    @model_validator(mode="after")
    def offset_or_cursor(self) -> Self:
        """A page begins at one place."""
        if self.offset is not None and self.place is not None:
            raise PydanticCustomError("offset_and_cursor", "use an offset or a cursor, not both")
        return self

    @property
    def place(self) -> Cursor | None:
        """The cursor, if there is one."""
        cursor: Cursor | None = getattr(self, "cursor", None)
        return cursor

    @property
    def start(self) -> PageStart:
        """Where the page begins."""
        if self.place is None:
            return PageStart(rows_skipped=self.offset or 0)
        return PageStart(after=(self.place.key, self.place.row_id))

    @property
    def column(self) -> str:
        """What the list is ordered by."""
        return _column(getattr(self, "sort", self.ORDER))

    def cursor_after(self, row_id: UUID, key: str) -> str:
        """The cursor of the page that starts after this row."""
        asked = self.model_dump(exclude=_NOT_OF_THE_SCOPE)
        return encode_cursor(Cursor(scope_of(self.KIND, asked), row_id, key))


class Pagination(ResponseModel):
    """Where a page is in its list. `offset` is null on a page that was asked for by cursor."""

    total: Annotated[int, Field(description=_TOTAL)]
    limit: int
    offset: int | None
    has_next: bool
    has_prev: bool
    next_cursor: str | None
    total_is_exact: TotalIsExact = True

    @classmethod
    def of(cls, query: ListQuery, total: Total, next_cursor: str | None) -> Self:
        """Of the page that a query asked for; `next_cursor` is there if a next page is."""
        return cls(
            total=total.rows,
            total_is_exact=total.is_exact,
            limit=query.limit,
            offset=query.start.rows_skipped if query.place is None else None,
            has_next=next_cursor is not None,
            has_prev=query.place is not None or query.start.rows_skipped > 0,
            next_cursor=next_cursor,
        )


class Page(Generic[Item]):
    """What a query found: ask the repository for `query.limit + 1` rows, so that a next page shows."""

    def __init__(self, query: ListQuery, found: Sequence[Item], total: int) -> None:
        self.rows = found[: query.limit]
        next_cursor = None
        if len(found) > query.limit:
            key = getattr(self.rows[-1], query.column)
            next_cursor = query.cursor_after(self.rows[-1].id, key if isinstance(key, str) else time_key(key))
        self.pagination = Pagination.of(query, Total.counted(total), next_cursor)


def page_body(query: ListQuery, page: JsonPage) -> bytes:
    """The body for what a query found: as for Page, of rows that are JSON already."""
    shown, next_cursor = page.bodies[: query.limit], None
    if len(page.bodies) > query.limit:
        last, place = json.loads(shown[-1]), page.places[query.limit - 1]
        next_cursor = query.cursor_after(UUID(last["id"]), place or last[query.column] or NEVER)
    pagination = Pagination.of(query, page.total, next_cursor).model_dump_json().encode()
    return b'{"data":[' + b",".join(shown) + b'],"pagination":' + pagination + b"}"


def _column(sort: str) -> str:
    return sort.removeprefix("-")
