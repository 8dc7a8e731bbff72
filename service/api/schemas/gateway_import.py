"""The query and the response of an import."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from service.api.schemas.base import QueryModel, ResponseModel


class ImportQuery(QueryModel):
    """`dry_run`: check everything, and change nothing."""

    dry_run: Literal["true", "false"] = "false"


class ImportedGateway(ResponseModel):
    """A gateway that was created, and the line that it was in."""

    line: int
    id: UUID
    gateway_id: str


class ImportResponse(ResponseModel):
    """What was imported; of a dry run, that it could be."""

    dry_run: bool
    rows: int
    created: int
    data: Sequence[ImportedGateway]
