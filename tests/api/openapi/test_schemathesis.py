"""schemathesis tests every operation against the description, with valid and invalid requests."""

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from devstack.commands import local
from devstack.project import PROJECT
from service.database.engine.pool import ConnectionExecutor
from service.database.observed.workers import WorkerRepository
from tests.support.api.tokens import bearer, make_token
from tests.support.api_server import ApiServer, gateway_body
from tests.support.database_server import cloned_database

HERE = Path(__file__).parent
LIMIT_S = 240
LEASE_S = 3600


def register_some(api: ApiServer, token: str) -> None:
    """Create some resources, so that not every request is answered 404."""
    for number in range(4):
        factory = api.call("POST", "/api/factories", {"name": f"Mill {number}"}, headers=bearer(token))
        body = gateway_body(factory.json["id"], f"CTC-{number}")
        assert api.call("POST", "/api/gateways", body, headers=bearer(token)).status == 201


@pytest.mark.req("API-05", "API-06")
@pytest.mark.timeout(LIMIT_S + 30)
def test_the_api_matches_its_description(
    server_admin: psycopg.Connection, server_url: str, tmp_path: Path
) -> None:
    extra = {"AUTH": "required", "TRUSTED_PROXIES": "1", "CONNECTION_TEST_TIMEOUT_S": "1"}
    with (
        cloned_database(server_admin, server_url) as url,
        psycopg.connect(url, autocommit=True) as session,
        ApiServer(url, tmp_path / "api.log", extra) as api,
    ):
        # Without a live worker the service is not ready and returns 503.
        WorkerRepository(ConnectionExecutor(session)).register("here", 1, "0", LEASE_S)
        token = make_token(url, "tester", "write")
        register_some(api, token)
        result = subprocess.run(
            local(
                (
                    *("st", "--config-file", str(HERE / "schemathesis.toml"), "run"),
                    *("--continue-on-failure", "--no-color"),
                    f"http://127.0.0.1:{api.port}/api/openapi.json",
                )
            ),
            cwd=tmp_path,
            env={
                **os.environ,
                "MILLGATE_TOKEN": token,
                "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"),
                "PYTHONPATH": str(PROJECT),
            },
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    print(result.stdout[result.stdout.find("= SUMMARY") :])
    assert result.returncode == 0, result.stdout + result.stderr
