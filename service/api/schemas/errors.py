"""The body of every error."""

from service.api.schemas.base import ResponseModel


class ErrorDetail(ResponseModel):
    """One mistake: where it is (a dotted path), what it is, for people and for programs."""

    field: str
    message: str
    type: str


class ErrorBody(ResponseModel):
    """What went wrong. `code` is stable, `message` is for people."""

    code: str
    message: str
    details: list[ErrorDetail]
    request_id: str


class ErrorResponse(ResponseModel):
    """The body of every response with a status of 400 or more."""

    error: ErrorBody
