"""Trying a gateway out before it is saved, over HTTP. A worker does it; this only asks and waits."""

from uuid import UUID

from flask import Blueprint, Response

from service.api.openapi.operation import Operation
from service.api.schemas.connection_tests import GatewayTrialRequest, TrialRequest, TrialResponse
from service.api.services.connection_tests import try_gateway, try_login
from service.api.services.stored_passwords import PasswordMove, password_required
from service.api.web.responses import respond
from service.errors import (
    ConnectionTestLostError,
    GatewayNotFoundError,
    NoWorkerError,
    TooManyConnectionTestsError,
)

blueprint = Blueprint("trials", __name__, url_prefix="/api/gateways")

_DESCRIPTION = """\
A worker runs the test on a short session of its own, without touching a live one. It takes at most
CONNECTION_TEST_TIMEOUT_S (10 s). The status is 200 whether or not the test succeeds: see `ok`."""


@blueprint.post("/test")
@Operation(
    "test_login",
    "Test a login before it is saved",
    {200: TrialResponse},
    error_responses=(NoWorkerError, TooManyConnectionTestsError, ConnectionTestLostError),
    body=TrialRequest,
    description=_DESCRIPTION,
)
def run(body: TrialRequest) -> Response:
    """200, whether it works or not: what came of each step with this login."""
    return respond(try_login(body))


@blueprint.post("/<gateway_id>/test")
@Operation(
    "test_gateway",
    "Test a gateway, with changes before they are saved",
    {200: TrialResponse},
    error_responses=(
        GatewayNotFoundError,
        password_required(PasswordMove.ELSEWHERE),
        NoWorkerError,
        TooManyConnectionTestsError,
        ConnectionTestLostError,
    ),
    body=GatewayTrialRequest,
    is_body_optional=True,
    description=_DESCRIPTION,
)
def run_for_gateway(gateway_id: UUID, body: GatewayTrialRequest) -> Response:
    """The same with what is stored of a gateway, but for what the body names."""
    return respond(try_gateway(gateway_id, body))
