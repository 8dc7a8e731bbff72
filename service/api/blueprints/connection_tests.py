"""Trying a gateway out before it is saved, over HTTP. A worker does it; this only asks and waits."""

from uuid import UUID

from flask import Blueprint, Response
from pydantic import SecretStr

from service.api.openapi.operation import Operation
from service.api.schemas.connection_tests import GatewayTrialRequest, TrialRequest, TrialResponse
from service.api.services.context import services
from service.api.services.stored_passwords import PasswordMove, confinement_after, password_required
from service.api.web.responses import respond
from service.crypto import Secret
from service.database.desired.connection_tests import ConnectionTestRepository, StoredLogin
from service.database.engine.ids import new_id
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
    login = StoredLogin(body.url, body.email)
    ctx = services()
    with ctx.database.transaction() as transaction:
        test_id = create(ConnectionTestRepository(transaction), login, body.password)
    return respond(ctx.connection_tests.wait(ctx.database, test_id))


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
    ctx = services()
    with ctx.database.transaction() as transaction:
        test_id = create_for_gateway(ConnectionTestRepository(transaction), gateway_id, body)
    return respond(ctx.connection_tests.wait(ctx.database, test_id))


def create(tests: ConnectionTestRepository, login: StoredLogin, password: SecretStr) -> UUID:
    """A connection test with a password that came with the request."""
    ctx, test_id = services(), new_id()
    sealed = ctx.sealer.seal(Secret(password.get_secret_value()), test_id)
    tests.create(test_id, login, sealed, ctx.connection_tests.timeout_s)
    return test_id


def create_for_gateway(tests: ConnectionTestRepository, gateway_id: UUID, body: GatewayTrialRequest) -> UUID:
    """A connection test of a gateway. Raises InvalidRequestError where its stored password may not go."""
    stored, named = tests.lock_login(gateway_id), body.provided_fields()
    login = StoredLogin(named.get("url", stored.url), named.get("email", stored.email))
    if "password" in named:
        return create(tests, login, body.password)
    confined = confinement_after(services().passwords.judge(stored.url, login.url))
    test_id = new_id()
    timeout_s = services().connection_tests.timeout_s
    tests.create_with_stored_password(test_id, gateway_id, login, timeout_s, confined)
    return test_id
