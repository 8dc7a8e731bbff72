"""Thousands of gateways in one request: all are created, or none, with the errors."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.api.gateway_import.body import MAX_FILE_BYTES
from service.api.gateway_import.rows import MAX_ROWS
from service.api.gateway_import.text_lines import MAX_LINE_CHARACTERS
from service.api.services.context import attach_services, services_of
from service.app import create_app
from service.config import ApiConfig
from service.crypto import Sealer, Secret
from service.environment import Environment
from tests.support.api.import_files import (
    CSV,
    JSON_LINES,
    PASSWORD,
    PATH,
    as_csv,
    count,
    refusals,
    rows,
    send,
)
from tests.support.api_server import KEY, STOP_LIMIT_S, ApiServer, Reply, gateway_body
from tests.support.waiting import wait_until

NOBODY = "00000000-0000-7000-8000-00000000dead"
# An import of 10,000 rows takes about two seconds; the rest is for a busy machine.
MANY_LIMIT_S = 60.0


def as_json_lines(given: list[dict[str, Any]]) -> bytes:
    """Return a file with one JSON object per line."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in given)


@pytest.mark.parametrize(("kind", "write"), [(CSV, as_csv), (JSON_LINES, as_json_lines)])
def test_ten_thousand_gateways_take_seconds(
    api: ApiServer,
    database: psycopg.Connection,
    kind: str,
    write: Callable[[list[dict[str, Any]]], bytes],
) -> None:
    body = write(rows(api.factory()["id"], MAX_ROWS))
    started = time.monotonic()
    checked = send(api, body, kind, "?dry_run=true")
    assert (checked.status, checked.json) == (
        200,
        {"dry_run": True, "rows": MAX_ROWS, "created": 0, "data": []},
    )
    assert count(database) == 0
    with psycopg.connect(api.database_url, autocommit=True) as listener:
        listener.execute("LISTEN gateways_changed")
        between = time.monotonic()
        imported = send(api, body, kind)
        ended = time.monotonic()
        next(listener.notifies(timeout=5, stop_after=1))
        told_again = list(listener.notifies(timeout=0.5, stop_after=2))
    print(f"{kind}: dry run {between - started:.2f} s, import {ended - between:.2f} s")
    assert imported.headers["Location"] == "/api/gateways"
    assert (imported.status, imported.json["created"], imported.json["rows"]) == (201, MAX_ROWS, MAX_ROWS)
    assert ended - started < MANY_LIMIT_S
    assert count(database) == MAX_ROWS
    assert len(told_again) < 2, "workers are notified once; the first notification may be the factory's"
    header = 1 if kind == CSV else 0
    assert [row["line"] for row in imported.json["data"]] == [n + header for n in range(1, MAX_ROWS + 1)]
    last = imported.json["data"][-1]
    assert last["gateway_id"] == f"CTC-{MAX_ROWS:05}"
    assert api.call("GET", f"/api/gateways/{last['id']}").json["gateway_id"] == last["gateway_id"]
    again = send(api, body, kind)
    assert f"{MAX_ROWS} mistakes in {MAX_ROWS} rows; the first " in again.error["message"]
    assert len(again.error["details"]) == 100
    assert set(refusals(again)[:2]) == {(f"lines.{n + header}.gateway_id", "conflict") for n in (1, 2)}
    assert count(database) == MAX_ROWS


def test_an_imported_row_equals_a_created_gateway(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    full = gateway_body(
        factory_id, "CTC-2", name='Hall "B",\nnorth', password=" ünicode, secret ", model="M",
        firmware_version="1.2", metadata={"line": [1, "ä"]},
    )  # fmt: skip
    written = {**full, "metadata": json.dumps(full["metadata"])}
    body = as_csv([gateway_body(factory_id, "CTC-1"), written], list(written))
    imported = send(api, b"\xef\xbb\xbf" + body, "text/csv; charset=UTF-8")
    assert imported.status == 201, imported.body
    assert [row["line"] for row in imported.json["data"]] == [2, 3]
    plain, rich = (api.call("GET", f"/api/gateways/{row['id']}").json for row in imported.json["data"])
    one = api.gateway(factory_id, "CTC-3")
    ignored = {"id", "gateway_id", "created_at", "updated_at"}
    assert {name: plain[name] for name in one if name not in ignored} == {
        name: one[name] for name in one if name not in ignored
    }
    for name in ("name", "model", "firmware_version", "metadata", "url", "email", "factory_id"):
        assert rich[name] == full[name]
    for row, password in ((plain, PASSWORD), (rich, " ünicode, secret ")):
        sealed = database.execute("SELECT sealed_password FROM gateways WHERE id = %s", [row["id"]])
        found = sealed.fetchone()
        assert found is not None
        assert Sealer(Secret(KEY)).open(found[0], UUID(row["id"])).reveal() == password
    changes = database.execute("SELECT count(*) FROM desired_state_changes").fetchone()
    assert changes == (3,), "availability counts from the import on"


def test_empty_lines_are_skipped(api: ApiServer, database: psycopg.Connection) -> None:
    first, second = rows(api.factory()["id"], 2)
    reply = send(api, b"\n" + as_json_lines([first]) + b" \r\n\n" + as_json_lines([second]).strip())
    assert [row["line"] for row in reply.json["data"]] == [2, 5]
    assert count(database) == 2


def test_every_error_is_reported_with_its_line(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    api.gateway(factory_id, "TAKEN")
    gone = api.factory()["id"]
    assert api.call("DELETE", f"/api/factories/{gone}").status == 204
    valid = gateway_body(factory_id, "CTC-1")
    lines = [
        json.dumps(row)
        for row in (
            valid,
            {**valid, "gateway_id": "TAKEN"},
            {**valid, "gateway_id": "CTC-3", "url": "http://x"},
            {**valid, "gateway_id": "CTC-4", "factory_id": NOBODY},
            {**valid, "gateway_id": "CTC-5", "factory_id": gone},
            {**valid, "name": "the same again"},
            {**valid, "gateway_id": "CTC-7", "password": "", "colour": "red"},
            {name: valid[name] for name in valid if name != "password"},
            [1],
        )
    ]
    body = "\n".join([*lines, '{"password": "correct horse', '{"name": "\\ud800"}']).encode()
    expected = {
        ("lines.2.gateway_id", "conflict"), ("lines.3.url", "websocket_url"),
        ("lines.4.factory_id", "unknown"), ("lines.5.factory_id", "unknown"),
        ("lines.6.gateway_id", "conflict"), ("lines.7.password", "too_short"),
        ("lines.7.colour", "extra_forbidden"), ("lines.8.password", "missing"), ("lines.9", "model_type"),
        ("lines.10", "json_invalid"), ("lines.11", "json_invalid"),
    }  # fmt: skip
    for query in ("?dry_run=true", "", "?dry_run=false"):
        reply = send(api, body, query=query)
        assert set(refusals(reply)) == expected
        assert "11 mistakes in 11 rows." in reply.error["message"]
    assert count(database) == 1, "all or nothing"


def test_csv_errors_are_reported_with_line_and_field(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    valid = gateway_body(factory_id, "CTC-1")
    header, row = as_csv([valid]).splitlines()
    body = b"\r\n".join(
        [
            header,
            row,
            b"",
            row + b",x",
            row.replace(b"CTC-1", b'CT"C-2').replace(b"Press hall", b'"Press" hall'),
            row.replace(b"CTC-1", b"CTC-3").replace(PASSWORD.encode(), b""),
            row.replace(b"CTC-1", b"CTC-5").replace(factory_id.encode(), b"5"),
            row.replace(b"CTC-1", b"CTC-6").replace(b"Press", b"Pr\x00ss"),
            row.replace(b"CTC-1", b'CTC-7"').replace(b"Press hall", b'"Press hall'),
        ]
    )
    assert set(refusals(send(api, body, CSV))) == {
        ("lines.4", "csv_cells"), ("lines.5", "csv_invalid"), ("lines.6.password", "missing"),
        ("lines.7.factory_id", "uuid_parsing"), ("lines.8.name", "nul_character"), ("lines.9", "csv_invalid"),
    }  # fmt: skip
    with_metadata = as_csv([{**valid, "metadata": "{nonsense"}])
    assert refusals(send(api, with_metadata, CSV)) == [("lines.2.metadata", "dict_type")]
    for wrong, places in (
        (row + b"\r\n", {f"lines.1.column {position}" for position in range(1, 7)}),
        (header.replace(b"password", b"pass"), {"lines.1.column 6", "lines.1.password"}),
        (header.replace(b"email", b"name"), {"lines.1.name", "lines.1.email"}),
    ):
        assert {place for place, _ in refusals(send(api, wrong, CSV))} >= places
    assert count(database) == 0


@pytest.mark.req("API-05")
def test_an_invalid_file_is_rejected(api: ApiServer) -> None:
    factory_id = api.factory()["id"]
    one = as_json_lines(rows(factory_id, 1))
    assert send(api, b"").fields == ["body"]
    assert send(api, as_csv(rows(factory_id, 1)).splitlines()[0], CSV).fields == ["body"]
    for kind in ("application/json", "text/plain", "text/csv; charset=utf-7", ""):
        assert send(api, one, kind).status == 415, kind
    compressed = {"Content-Type": JSON_LINES, "Content-Encoding": "gzip"}
    assert api.call("POST", PATH, body=one, headers=compressed).status == 415
    for query, field in (("?dry_run=yes", "dry_run"), ("?dry_run=", "dry_run"), ("?dry=true", "dry")):
        assert send(api, one, query=query).fields == [field]
    assert send(api, one, query="?dry_run=true&dry_run=true").fields == ["dry_run"]
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        refused = api.call(method, PATH, gateway_body(factory_id))
        assert (refused.status, refused.headers["Allow"]) == (405, "OPTIONS, POST")
    assert send(api, one).status == 201


@pytest.mark.req("API-05")
def test_a_file_has_limits(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    too_many = as_json_lines(rows(factory_id, MAX_ROWS + 1))
    too_long = as_json_lines([gateway_body(factory_id, "CTC-1", name="x" * MAX_LINE_CHARACTERS)])
    for body in (too_many, too_long, b"\n" * (MAX_FILE_BYTES + 1)):
        reply = send(api, body)
        assert (reply.status, reply.error["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert "10,000 rows" in reply.error["message"]
    heavy = {"x": "y" * 60_000}
    big = as_json_lines([gateway_body(factory_id, f"CTC-{n}", metadata=heavy) for n in range(99)])
    assert len(big) > 5 * 1024 * 1024
    assert send(api, big, query="?dry_run=true").status == 200, "far more than others may send"
    assert count(database) == 0


def chunked(api: ApiServer, body: bytes, size: int = 1000) -> bytes:
    """Return the response to a body without a length."""
    chunks = [body[first : first + size] for first in range(0, len(body), size)]
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {JSON_LINES}\r\n"
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return api.raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n")


def test_a_file_may_be_streamed(api: ApiServer, database: psycopg.Connection) -> None:
    assert chunked(api, as_json_lines(rows(api.factory()["id"], 100))).startswith(b"HTTP/1.1 201 ")
    assert count(database) == 100


def opening(length: int) -> bytes:
    """Return the head of a request whose body follows later."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON_LINES}\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode()


def test_half_a_file_imports_nothing(api: ApiServer, database: psycopg.Connection) -> None:
    body = as_json_lines(rows(api.factory()["id"], 2))
    head = opening(len(body) + 9)
    with socket.create_connection(("127.0.0.1", api.port), 10) as connection:
        connection.sendall(head + body)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert count(database) == 0


def test_a_concurrent_conflict_rolls_the_whole_import_back(
    api: ApiServer, database: psycopg.Connection
) -> None:
    """Another transaction takes a gateway_id after the check and commits while the import waits for it."""
    factory_id = api.factory()["id"]
    api.gateway(factory_id, "CTC-0")
    replies: list[Reply] = []
    importing = threading.Thread(target=lambda: replies.append(send(api, as_json_lines(rows(factory_id, 5)))))
    with psycopg.connect(api.database_url) as other:
        other.execute("UPDATE gateways SET device_id = 'CTC-00003'")
        importing.start()
        wait_until(
            lambda: database.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone() is not None,
            10,
            "the import to wait",
        )
    importing.join(15)
    assert refusals(replies[0]) == [("lines.3.gateway_id", "conflict")]
    assert count(database) == 1


def test_concurrent_imports_are_limited(start_api: Callable[..., ApiServer], database_url: str) -> None:
    api = start_api()
    body = as_json_lines(rows(api.factory()["id"], 1))
    with ThreadPoolExecutor(2) as pool, psycopg.connect(database_url) as locking:
        # Every read of gateways waits.
        locking.execute("LOCK TABLE gateways")
        imports = [pool.submit(send, api, body, query="?dry_run=true") for _ in range(2)]
        wait_until(lambda: waiting_for_gateways(locking) == 2, 10, "two to be running")
        reply = send(api, body)
        assert (reply.status, reply.error["code"]) == (429, "TOO_MANY_IMPORTS")
        locking.rollback()
        assert [one.result().status for one in imports] == [200, 200]
    assert send(api, body).status == 201


def waiting_for_gateways(database: psycopg.Connection) -> int:
    """Count the statements waiting for a lock on gateways."""
    row = database.execute(
        "SELECT count(*) FROM pg_locks WHERE relation = 'gateways'::regclass AND NOT granted"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_stalled_uploads_block_no_other_import(api: ApiServer) -> None:
    with ExitStack() as opened:
        for _ in range(4):
            slow = opened.enter_context(socket.create_connection(("127.0.0.1", api.port), 10))
            # The API starts reading a body of this size before it is complete.
            slow.sendall(opening(1_000_000) + b"\n" * 100_000)
        wait_until(lambda: api.call("GET", "/api/health").status == 200, 10, "them to be read")
        assert send(api, as_json_lines(rows(api.factory()["id"], 3))).status == 201


def test_no_connection_is_held_while_passwords_are_sealed(database_url: str) -> None:
    app = create_app(
        ApiConfig.read(Environment({"DATABASE_URL": database_url, "ENCRYPTION_KEY": KEY, "DB_POOL_MIN": "0"}))
    )
    services = services_of(app)
    in_use: list[int] = []

    class Watched(Sealer):
        def seal(self, secret: Secret, row_id: UUID) -> bytes:
            in_use.append(services.database.stats().in_use)
            return super().seal(secret, row_id)

    attach_services(app, replace(services, sealer=Watched(Secret(KEY))))
    services.database.open()
    client = app.test_client()

    def import_some() -> int:
        factory_id = client.post("/api/factories", json={"name": "Mill"}).get_json()["id"]
        body = as_json_lines(rows(factory_id, 20))
        return client.post(PATH, data=body, content_type=JSON_LINES).status_code

    try:
        # A request sets a deadline in its context, which must not apply to later tests.
        assert copy_context().run(import_some) == 201
    finally:
        services.database.close()
    assert in_use == [0] * 20


def test_no_password_is_logged(start_api: Callable[..., ApiServer]) -> None:
    api = start_api(LOG_LEVEL="debug")
    factory_id = api.factory()["id"]
    send(api, as_csv(rows(factory_id, 3)), CSV)
    send(api, as_csv(rows(factory_id, 3)), CSV)
    send(api, as_csv(rows(factory_id, 3)).replace(b"ws://", b"http://"), CSV)
    api.stop()
    assert PASSWORD not in api.log_path.read_text()


def test_a_stop_waits_for_a_running_import(start_api: Callable[..., ApiServer], database_url: str) -> None:
    """It may take 30 s; here it takes 9, each statement within its own limit."""
    api = start_api()
    body = as_json_lines(rows(api.factory()["id"], 3000))
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url, autocommit=True) as database:
        database.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$"
        )
        database.execute("CREATE TRIGGER slow AFTER INSERT ON gateways EXECUTE FUNCTION slow()")
        importing = pool.submit(
            api.call, "POST", PATH, body=body, headers={"Content-Type": JSON_LINES}, limit_s=MANY_LIMIT_S
        )
        wait_until(
            lambda: database.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
            ).fetchone(),
            MANY_LIMIT_S,
            "the import to write",
        )
        assert api.process is not None
        api.process.send_signal(signal.SIGTERM)
        assert importing.result().status == 201
        assert api.process.wait(STOP_LIMIT_S) == 0
        assert count(database) == 3000
