"""Health and readiness in responses."""

from typing import Literal

from service.api.schemas.base import ResponseModel


class HealthResponse(ResponseModel):
    """The process lives."""

    status: Literal["ok"] = "ok"


class BriefReadinessResponse(ResponseModel):
    """The service can keep its promises; the rest is for those who show a token."""

    status: Literal["ready"] = "ready"


class ReadinessResponse(ResponseModel):
    """The service can keep its promises."""

    status: Literal["ready"] = "ready"
    database: Literal["ok"] = "ok"
    migrations: str
    """The version of the newest migration that the database has."""
    workers: int
    """How many are live."""
