"""Try a login out before it is saved. A worker does it; this only asks and waits."""

from uuid import UUID

from pydantic import SecretStr

from service.api.schemas.connection_tests import GatewayTrialRequest, TrialRequest, TrialResponse
from service.api.services.context import services
from service.api.services.stored_passwords import confinement_after
from service.crypto import Secret
from service.database.desired.connection_tests import ConnectionTestRepository, StoredLogin
from service.database.engine.ids import new_id


def try_login(body: TrialRequest) -> TrialResponse:
    """What came of each step. Raises NoWorkerError, TooManyConnectionTestsError, ConnectionTestLostError."""
    ctx = services()
    with ctx.database.transaction() as transaction:
        test_id = create(
            ConnectionTestRepository(transaction), StoredLogin(body.url, body.email), body.password
        )
    return ctx.connection_tests.wait(ctx.database, test_id)


def try_gateway(gateway_id: UUID, body: GatewayTrialRequest) -> TrialResponse:
    """The same with what is stored of a gateway, but for what the body names.

    Also raises GatewayNotFoundError, InvalidRequestError.
    """
    ctx = services()
    with ctx.database.transaction() as transaction:
        test_id = create_for_gateway(ConnectionTestRepository(transaction), gateway_id, body)
    return ctx.connection_tests.wait(ctx.database, test_id)


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
