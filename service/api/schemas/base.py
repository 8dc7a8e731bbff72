"""What all models of requests and responses have in common."""

from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

from service.gateway_states import action_for


def unset() -> Any:
    """The default of a field that need not be there, yet is never null: only named fields are ever read."""
    return None


class RequestModel(BaseModel):
    """A request's body: nothing but the fields that are listed, each of exactly its type."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True, frozen=True)

    def provided_fields(self) -> dict[str, Any]:
        """The fields that the request names, and no others."""
        return {name: getattr(self, name) for name in self.model_fields_set}


ReadOnly = Annotated[
    Any, Field(default_factory=unset, description="Accepted as returned by GET, and ignored.")
]


class UpdateModel(RequestModel):
    """Changes to a resource. What was read may be sent back: fields that only we write are ignored."""

    READ_ONLY: ClassVar[frozenset[str]] = frozenset({"id", "created_at", "updated_at", "deleted_at"})

    id: ReadOnly
    created_at: ReadOnly
    updated_at: ReadOnly
    deleted_at: ReadOnly

    def provided_fields(self) -> dict[str, Any]:
        """The fields that the request names and that can be changed."""
        return {
            name: value for name, value in super().provided_fields().items() if name not in self.READ_ONLY
        }

    def is_of(self, row_id: UUID) -> bool:
        """Whether it is meant for this resource, as far as it says."""
        return "id" not in self.model_fields_set or str(self.id).lower() == str(row_id)


class EmptyBody(RequestModel):
    """For requests that have nothing to say."""


class ResponseModel(BaseModel):
    """A response's body. Times are RFC 3339 in UTC."""

    model_config = ConfigDict(
        from_attributes=True, frozen=True, json_schema_serialization_defaults_required=True
    )


class QueryModel(BaseModel):
    """A request's query: nothing but the parameters that are listed."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class EmptyQuery(QueryModel):
    """For requests that take no parameters."""


def action_of(fields: dict[str, Any]) -> str:
    """The default of a reason's `action`, which follows its code."""
    return action_for(fields["code"])
