"""A real gunicorn, as `make api` starts it, and a client that returns whole responses."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from devstack.commands import API, local
from devstack.postgres.server import free_port
from devstack.project import PROJECT
from tests.support.inherited import inherited
from tests.support.waiting import wait_until

KEY = base64.b64encode(bytes(range(32))).decode()
START_LIMIT_S = 20.0
STOP_LIMIT_S = 12.0
REQUEST_LIMIT_S = 15.0


@dataclass(frozen=True)
class Reply:
    """A response with status, headers and body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body, decoded from JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """Return the error; assert its format, and that its request id is the header's."""
        assert self.headers["Content-Type"] == "application/json"
        assert set(self.json) == {"error"}
        error: dict[str, Any] = self.json["error"]
        assert set(error) == {"code", "message", "details", "request_id"}
        assert error["request_id"] == self.headers["X-Request-ID"]
        assert all(set(detail) == {"field", "message", "type"} for detail in error["details"])
        return error

    @property
    def fields(self) -> list[str]:
        """Return the fields named in the error's details."""
        return [detail["field"] for detail in self.error["details"]]


@dataclass
class ApiServer:
    """One gunicorn. `extra` is added to its environment."""

    database_url: str
    log_path: Path
    extra: Mapping[str, str] = field(default_factory=dict)
    application: str = API[-1]
    configuration: str = API[2]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """Return the server's whole environment."""
        return {
            **inherited(),
            "PYTHONPATH": str(PROJECT),
            "DATABASE_URL": self.database_url,
            "ENCRYPTION_KEY": KEY,
            "PORT": str(self.port),
            "API_PROCESSES": "1",
            "DB_POOL_TIMEOUT_S": "1",
            # The host in handwritten requests.
            "ALLOWED_HOSTS": "x",
            **self.extra,
        }

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start gunicorn without waiting for it."""
        gunicorn, option, *_ = local(API)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [gunicorn, option, str(PROJECT / self.configuration), self.application],
                # Not in the project's directory, where a developer's .env would be read.
                cwd=self.log_path.parent,
                env=self.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    def __enter__(self) -> Self:
        process = self.spawn()
        try:
            wait_until(
                lambda: process.poll() is not None or self.answers(), START_LIMIT_S, "the API to answer"
            )
            assert process.poll() is None, self.log_path.read_text()
        except AssertionError:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Stop it as an operator does; kill it after the limit."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise

    def kill(self) -> None:
        """Kill all its processes."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def answers(self) -> bool:
        """Whether it answers requests."""
        try:
            return self.call("GET", "/api/health").status in {200, 308}
        except (OSError, http.client.HTTPException):
            return False

    def call(
        self,
        method: str,
        path: str,
        json_body: object = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit_s: float = REQUEST_LIMIT_S,
    ) -> Reply:
        """Send one request on a new connection. `json_body` is sent as JSON, `body` unchanged."""
        sent = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit_s)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Send bytes and read until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), REQUEST_LIMIT_S) as connection:
            connection.sendall(request)
            received = bytearray()
            while part := connection.recv(65536):
                received += part
            return bytes(received)

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the log's entries; every line has to be JSON."""
        return [json.loads(line) for line in self.log_path.read_text().split("\n") if line]

    def requests_logged(self, request_id: str) -> list[dict[str, Any]]:
        """Return the log entries of one request."""
        return [
            line
            for line in self.log_lines()
            if line["logger"] == "millgate.request" and line["request_id"] == request_id
        ]

    def factory(self, **values: object) -> dict[str, Any]:
        """Create a factory."""
        reply = self.call("POST", "/api/factories", {"name": "Mill", **values})
        assert reply.status == 201, reply.body
        created: dict[str, Any] = reply.json
        return created

    def gateway(self, factory_id: str, gateway_id: str = "CTC-1", **values: object) -> dict[str, Any]:
        """Create a gateway."""
        reply = self.call("POST", "/api/gateways", gateway_body(factory_id, gateway_id, **values))
        assert reply.status == 201, reply.body
        created: dict[str, Any] = reply.json
        return created


def gateway_body(factory_id: str, gateway_id: str = "CTC-1", **values: object) -> dict[str, Any]:
    """Return a valid body to create a gateway."""
    return {
        "factory_id": factory_id,
        "gateway_id": gateway_id,
        "name": "Press hall",
        "url": "ws://127.0.0.1:9",
        "email": "operator@example.com",
        "password": "correct horse",
        **values,
    }
