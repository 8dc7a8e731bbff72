"""The bodies of what tries a gateway out."""

from typing import Literal

from pydantic import Field

from service.api.schemas.base import RequestModel, ResponseModel, action_of, unset
from service.api.schemas.fields import Email, Password, WebSocketUrl

StepName = Literal["resolve", "connect", "tls", "upgrade", "login", "subscribe"]


class TrialRequest(RequestModel):
    """A login that is not saved yet."""

    url: WebSocketUrl
    email: Email
    password: Password


class GatewayTrialRequest(RequestModel):
    """What is to be tried in place of what is stored: nothing at all, or some of it."""

    url: WebSocketUrl = Field(default_factory=unset)
    email: Email = Field(default_factory=unset)
    password: Password = Field(default_factory=unset)


class TrialStep(ResponseModel):
    """A step on the way to a session. What was not come to, or is not needed, is skipped."""

    name: StepName
    status: Literal["ok", "failed", "skipped"]
    duration_ms: float | None


class TrialFailure(ResponseModel):
    """Why the first failed step failed. `code` is stable; `message` and `action` are for people."""

    step: StepName
    code: str
    message: str
    retryable: bool
    action: str = Field(default_factory=action_of)


class TrialResult(ResponseModel):
    """What a worker wrote down."""

    steps: list[TrialStep]
    failure: TrialFailure | None


class TrialResponse(TrialResult):
    """What came of a trial: `ok` if all steps went well."""

    ok: bool
