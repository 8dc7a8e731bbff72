"""A marker password is searched for in every place that a password could reach."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from devstack.postgres.binaries import program
from devstack.postgres.server import EmbeddedPostgres
from tests.support.api_server import ApiServer, gateway_body

MARKER = "canary-4f1d2b7e"
OTHER = "canary-9c33aa01"


@pytest.mark.req("GATEWAY-06", "GATEWAY-07", "CRYPTO-01")
def test_a_password_is_stored_sealed_only(own_postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    answers = []
    with ApiServer(own_postgres.url(), tmp_path / "api.log", {"LOG_LEVEL": "debug"}) as api:
        factory = api.factory()
        gateway = api.gateway(factory["id"], password=MARKER)
        path = f"/api/gateways/{gateway['id']}"
        body = gateway_body(factory["id"], password=MARKER)
        answers += [
            api.call("GET", path),
            api.call("GET", "/api/gateways"),
            api.call("PATCH", path, {"password": OTHER}),
            api.call("POST", "/api/gateways", body),  # a conflict
            api.call("POST", "/api/gateways", {**body, "factory_id": gateway["id"]}),
            api.call("POST", "/api/gateways", {**body, "password": [MARKER]}),
            api.call("POST", "/api/gateways", {**body, "password": MARKER * 200}),
            api.call("POST", "/api/gateways", {**body, MARKER: 1, "url": f"ws://a:{MARKER}@b"}),
            api.call("PATCH", path, {"password": MARKER, "name": ""}),
            api.call("PATCH", path, body=f'{{"password": "{MARKER}'.encode()),
            api.call("GET", f"{path}/status"),
        ]
        assert [reply.status for reply in answers[3:6]] == [409, 400, 400]
    with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
        row = connection.execute("SELECT sealed_password, id FROM gateways").fetchone()
        connection.execute("CHECKPOINT")
    assert row is not None
    sealed: bytes = row[0]
    dump = subprocess.run(
        [str(program("pg_dump")), "--dbname", own_postgres.url()], capture_output=True, check=True
    ).stdout
    assert sealed.hex().encode() in dump
    own_postgres.stop()
    for marker in (MARKER.encode(), OTHER.encode()):
        for reply in answers:
            # A client that names a field after its password gets the field's name back.
            shown = reply.body.replace(f'"field":"{MARKER}"'.encode(), b"")
            assert marker not in shown
            assert sealed.hex().encode() not in shown
        assert marker not in (tmp_path / "api.log").read_bytes()
        assert marker not in dump
        files = [file for file in own_postgres.data_dir.rglob("*") if file.is_file()]
        assert any("pg_wal" in str(file) for file in files)
        assert not [file for file in files if marker in file.read_bytes()]
