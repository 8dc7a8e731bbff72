"""`python -m tests.api.server.blocking_times`: measures how long the heaviest requests block their process.

It measures CPU time of the process, so other processes do not count: the longest stretch between two turns of
a greenlet that only waits for a timer, as another client's request waits for its socket.
"""

# ruff: noqa: E402 (patched first, as in gunicorn_conf.py)
from gevent import monkey  # type: ignore[import-untyped]

monkey.patch_all()

import json
import sys
from collections.abc import Callable
from time import thread_time
from typing import Any

import gevent
import psycopg
from flask import Flask

from service.api.openapi.document import document_of
from service.api.services.context import services_of
from service.app import create_app
from service.config import ApiConfig
from service.environment import read_environment

ROWS = 10_000
MANY = 100_000
HEAVY_ROWS = 200
HEAVY_BYTES = 64_000
HEADER = "factory_id,gateway_id,name,url,email,password,metadata\n"
JSON = "application/json"
HOST = {"Host": "127.0.0.1"}

Measured = dict[str, float]


def longest_turn_s(request: Callable[[], Any], status: int) -> float:
    """Return the longest turn during a request that is answered with this status."""
    longest_s, last_s, is_over = 0.0, thread_time(), False

    def watch() -> None:
        nonlocal longest_s, last_s
        while not is_over:
            now_s = thread_time()
            longest_s, last_s = max(longest_s, now_s - last_s), now_s
            gevent.sleep(0.001)

    watcher = gevent.spawn(watch)
    gevent.sleep(0)
    reply = request()
    is_over = True
    longest_s = max(longest_s, thread_time() - last_s)
    watcher.join()
    assert reply.status_code == status, reply.data[:500]
    return longest_s


def insert_many(url: str, factory_id: str) -> None:
    """Insert gateways of this factory without a request."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password)"
            " SELECT %s, 'MANY-' || n, 'Gateway ' || n, 'ws://x', 'a@b', %s"
            " FROM generate_series(1, %s) AS n",
            [factory_id, b"s" * 40, MANY],
        )
        connection.execute("ANALYZE gateways")


def heavy_file(factory_id: str) -> str:
    """Return JSON lines, each with the most metadata that a gateway may have, in many values."""
    metadata = {"values": [1] * (HEAVY_BYTES // 3)}
    return "".join(
        json.dumps(
            {
                "factory_id": factory_id, "gateway_id": f"HEAVY-{n}", "name": f"Press {n}",
                "url": "ws://10.0.0.1:5000", "email": "a@example.com", "password": "secret",
                "metadata": metadata,
            }
        ) + "\n"
        for n in range(HEAVY_ROWS)
    )  # fmt: skip


class Client:
    """Builds requests to the application, to be sent later."""

    def __init__(self, app: Flask) -> None:
        self._client = app.test_client()

    def get(self, path: str) -> Callable[[], Any]:
        """GET."""
        return lambda: self._client.get(path, headers=HOST)

    def delete(self, path: str) -> Callable[[], Any]:
        """DELETE."""
        return lambda: self._client.delete(path, headers=HOST)

    def post(self, path: str, body: str = "", kind: str = JSON) -> Callable[[], Any]:
        """POST."""
        return lambda: self._client.post(path, data=body, content_type=kind, headers=HOST)

    def import_file(self, body: str, kind: str = "text/csv", query: str = "") -> Callable[[], Any]:
        """An import."""
        return self.post(f"/api/gateways/import{query}", body, kind)

    def new_factory(self) -> str:
        """Create a factory; return its id."""
        created = self.post("/api/factories", json.dumps({"name": "Mill"}))()
        return str(json.loads(created.data)["id"])


def imports(client: Client, factory: str) -> Measured:
    """Return import requests, one of which creates ROWS gateways in the factory."""
    rows = [
        f'{factory},CTC-{n},Press {n},ws://10.0.0.1:5000,a@example.com,secret-{n},"{{""a"": {n}}}"\n'
        for n in range(ROWS)
    ]
    csv, wide = HEADER + "".join(rows), HEADER + "".join(rows).replace('""a""', f'""{"a" * 1400}""')
    # Cells that continue on the next line make rows as long as a file.
    many_cells = HEADER + ("," * 200_000).join(60 * ['"\n"'])
    return {
        "a file with mistakes": longest_turn_s(client.import_file(csv.replace(",ws:", ",http:")), 400),
        "a file of many columns": longest_turn_s(client.import_file(",x" * 120_000), 400),
        "a file of many cells": longest_turn_s(client.import_file(many_cells), 400),
        "a dry run": longest_turn_s(client.import_file(wide, query="?dry_run=true"), 200),
        "an import": longest_turn_s(client.import_file(csv), 201),
        "the same again": longest_turn_s(client.import_file(csv), 400),
        "a wide import": longest_turn_s(client.import_file(wide.replace(",CTC-", ",WIDE-")), 201),
    }


def metadata(client: Client) -> Measured:
    """Return requests with the most metadata, and with more."""
    factory = client.new_factory()
    many_values = json.dumps({"name": "x", "metadata": {str(n): 1 for n in range(80_000)}})
    heavy = client.import_file(heavy_file(factory), "application/jsonl")
    return {
        "much metadata": longest_turn_s(heavy, 201),
        "a page of it": longest_turn_s(client.get(f"/api/gateways?factory_id={factory}&limit=100"), 200),
        "many values": longest_turn_s(client.post("/api/factories", many_values), 400),
    }


def bulk(client: Client, url: str) -> Measured:
    """Return requests that change MANY gateways together."""
    factory = client.new_factory()
    insert_many(url, factory)
    which = json.dumps({"factory_id": factory})
    return {
        "many to disconnect": longest_turn_s(client.post("/api/gateways/disconnect", which), 202),
        "many to connect": longest_turn_s(client.post("/api/gateways/connect", which), 202),
    }


def main() -> None:
    """Print the measurements as JSON."""
    config = ApiConfig.read(read_environment())
    app = create_app(config)
    document_of(app)
    services = services_of(app)
    services.database.open()
    client = Client(app)
    factory = client.new_factory()
    path = f"/api/factories/{factory}"
    measured = {
        **imports(client, factory),
        **metadata(client),
        **bulk(client, config.database.url),
        "deletion with many": longest_turn_s(client.delete(path), 204),
        "restoration with many": longest_turn_s(client.post(f"{path}/restore"), 200),
        "the description": longest_turn_s(client.get("/api/openapi.json"), 200),
        "its page": longest_turn_s(client.get("/api/docs/swagger-ui-bundle.js"), 200),
        "metrics": longest_turn_s(client.get("/metrics"), 200),
    }
    services.database.close()
    json.dump(measured, sys.stdout)


if __name__ == "__main__":
    main()
