"""Updates of many gateways at once."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from service.api.schemas.base import RequestModel, ResponseModel, unset
from service.api.schemas.fields import Id, OnlyTrue, StatesOfBody

# The rule of `says_which`, for the document.
_WHICH: JsonDict = {
    "oneOf": [
        {"required": ["all"]},
        {"anyOf": [{"required": ["factory_id"]}, {"required": ["state"]}]},
    ]
}


class BulkWish(RequestModel):
    """Which gateways: those of a factory, in one or several states, or both; or, in so many words, all."""

    model_config = ConfigDict(json_schema_extra=_WHICH)

    factory_id: Id = Field(default_factory=unset)
    state: StatesOfBody = Field(default_factory=unset)
    all: OnlyTrue = Field(default_factory=unset)

    @model_validator(mode="after")
    def says_which(self) -> Self:
        """Nothing said is a mistake rather than a wish for all."""
        if ("all" in self.model_fields_set) == bool(self.model_fields_set & {"factory_id", "state"}):
            raise PydanticCustomError(
                "filter", 'must have a factory_id, a state or both, or else "all": true'
            )
        return self


class BulkWishResponse(ResponseModel):
    """How many gateways were found, and of how many the desired state was another one before."""

    matched: int
    changed: int
