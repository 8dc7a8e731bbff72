"""PostgreSQL stopped and started under a running API."""

from pathlib import Path
from time import monotonic

import pytest

from devstack.postgres.server import EmbeddedPostgres
from tests.support.api_server import ApiServer, gateway_body
from tests.support.waiting import wait_until

UNSAFE = ("127.0.0.1", "SELECT", "psycopg", "Traceback", "millgate@", "port")


@pytest.mark.req("GATEWAY-08", "API-02")
def test_the_api_returns_errors_without_a_database_and_recovers(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with ApiServer(own_postgres.url(), tmp_path / "api.log") as api:
        factory = api.factory()
        kept = api.gateway(factory["id"])
        own_postgres.stop()
        for method, path, body in [
            ("GET", f"/api/gateways/{kept['id']}", None),
            ("GET", "/api/gateways", None),
            ("POST", "/api/factories", {"name": "Never"}),
            ("GET", f"/api/gateways/{kept['id']}/status", None),
        ]:
            began = monotonic()
            reply = api.call(method, path, body)
            assert (reply.status, reply.error["code"]) == (500, "DATABASE_UNAVAILABLE")
            assert not any(word in reply.body.decode() for word in UNSAFE)
            assert monotonic() - began < 5
        assert api.call("GET", "/api/health").status == 200
        not_ready = api.call("GET", "/api/health/ready")
        assert (not_ready.status, not_ready.fields[0]) == (503, "database")
        own_postgres.start()
        back_at = monotonic()
        wait_until(
            lambda: api.call("GET", f"/api/gateways/{kept['id']}").status == 200, 5, "the API to recover"
        )
        assert monotonic() - back_at < 2
        assert api.call("GET", f"/api/gateways/{kept['id']}").json["gateway_id"] == kept["gateway_id"]
        assert api.factory(name="After")["name"] == "After"
        assert api.call("GET", "/api/factories").json["pagination"]["total"] == 2


# The pool retries a second after a failed connection, and the change notifier may have caused one
# so meanwhile. The timeout is the default.
ALONE = {"DB_POOL_TIMEOUT_S": "2"}


@pytest.mark.req("GATEWAY-08")
def test_a_database_restart_between_two_reads_causes_no_error(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with ApiServer(own_postgres.url(), tmp_path / "api.log", ALONE) as api:
        factory = api.factory()
        own_postgres.stop()
        own_postgres.start()
        assert api.call("GET", f"/api/factories/{factory['id']}").status == 200


@pytest.mark.req("GATEWAY-08")
def test_a_database_restart_before_a_write_causes_no_error(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """A write is not retried, so a lost connection must be detected before it is sent."""
    with ApiServer(own_postgres.url(), tmp_path / "api.log", ALONE) as api:
        factory = api.factory()
        gateway = api.gateway(factory["id"])
        for number, (method, path, body, status) in enumerate(
            [
                ("PATCH", f"/api/gateways/{gateway['id']}", {"name": "After"}, 200),
                ("POST", "/api/gateways", gateway_body(factory["id"], "CTC-2"), 201),
                ("DELETE", f"/api/gateways/{gateway['id']}", None, 204),
            ]
        ):
            own_postgres.stop()
            own_postgres.start()
            reply = api.call(method, path, body)
            assert (number, reply.status) == (number, status)
