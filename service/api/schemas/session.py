"""A browser's session over HTTP."""

from typing import Literal

from pydantic import SecretStr

from service.api.schemas.base import RequestModel, ResponseModel


class SessionCreate(RequestModel):
    """What begins a session."""

    token: SecretStr


class SessionResponse(ResponseModel):
    """Whose session it is, and what it may do."""

    name: str
    scope: Literal["read", "write"]
