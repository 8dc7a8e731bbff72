"""Whether the process lives, and whether the service can keep its promises."""

from flask import Blueprint, Response

from service.api.middleware.authentication import may_see_details
from service.api.openapi.operation import Operation
from service.api.schemas.health import BriefReadinessResponse, HealthResponse, ReadinessResponse
from service.api.services.context import services
from service.api.web.responses import respond
from service.api.web.validation_errors import detail
from service.database.views.readiness import count_live_workers, is_held, latest_migration
from service.errors import DatabaseError, DatabaseUnavailableError, NotReadyError

blueprint = Blueprint("health", __name__, url_prefix="/api/health")
_NO_WORKER = "no worker is live, so no gateway is connected"
_HELD = (
    "held: it is a copy that was not taken over; once no worker uses the original, run `make take-over`"
    " (python -m service.take_over)"
)


@blueprint.get("")
@Operation("get_health", "Whether the process is alive", {200: HealthResponse}, uses_database=False)
def live() -> Response:
    """200 while the process is alive; does not use the database."""
    return respond(HealthResponse())


@blueprint.get("/ready")
@Operation(
    "get_readiness",
    "Whether the service is ready",
    {200: (ReadinessResponse, BriefReadinessResponse)},
    error_responses=(NotReadyError([detail("workers", _NO_WORKER, "none_live")]),),
)
def ready() -> Response:
    """200, or 503 with the reasons; where tokens are required, only clients with one see them."""
    if may_see_details():
        return respond(check_readiness())
    try:
        check_readiness()
    except NotReadyError:
        raise NotReadyError([]) from None
    return respond(BriefReadinessResponse())


def check_readiness() -> ReadinessResponse:
    """Asks the database. Raises NotReadyError."""
    try:
        applied = latest_migration(services().database) or "none"
        workers = count_live_workers(services().database)
        is_outdated = applied == "none" or applied < services().newest_migration
        held = not is_outdated and is_held(services().database)
    except DatabaseUnavailableError:
        raise NotReadyError(
            [
                detail("database", "not responding", "unavailable"),
                detail("migrations", "unknown while the database is unavailable", "unknown"),
                detail("workers", "unknown while the database is unavailable", "unknown"),
            ]
        ) from None
    except DatabaseError:
        raise NotReadyError(
            [
                detail("migrations", "the database must be migrated", "outdated"),
                detail("workers", "unknown until the database is migrated", "unknown"),
            ]
        ) from None
    problems = [detail("database", _HELD, "held")] if held else []
    problems += find_problems(applied, services().newest_migration, workers)
    if problems:
        raise NotReadyError(problems)
    return ReadinessResponse(migrations=applied, workers=workers)


def find_problems(applied: str, newest: str, workers: int) -> list[dict[str, str]]:
    """What is wrong. A database that is ahead of this code is fine: that is how an upgrade begins."""
    problems = []
    if applied == "none" or applied < newest:
        problems.append(detail("migrations", f"applied up to {applied}, required up to {newest}", "outdated"))
    if workers == 0:
        problems.append(detail("workers", _NO_WORKER, "none_live"))
    return problems
