"""What a list is narrowed down by: the API's query, as forms and links of pages write it."""

from typing import TypeVar

from flask import request
from pydantic import ValidationError

from service.api.schemas.base import QueryModel
from service.api.web.validation_errors import details_of, invalid

Query = TypeVar("Query", bound=QueryModel)


def read_filters(model: type[Query], **defaults: str) -> Query:
    """The query of the request; fields that were left empty are none, and checkboxes of a name are joined.

    Raises InvalidRequestError.
    """
    asked = {
        name: ",".join(values)
        for name in model.model_fields
        if (values := [value for value in request.args.getlist(name) if value])
    }
    try:
        return model.model_validate({**defaults, **asked})
    except ValidationError as error:
        raise invalid(details_of(error, "query")) from None
