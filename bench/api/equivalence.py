"""Checks that all contestants answer, store and log the same for the same requests."""

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
from cryptography.exceptions import InvalidTag
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from bench.api.answers import Answer, comparable, differences, request_lines
from bench.api.contestants import REQUEST_LIMIT_S, Running
from bench.environment import BenchEnvironment
from bench.peers.fastapi.sealing import Sealer

PROBE = "probe-1"
FRESH = ("id", "created_at", "updated_at")
CHANGED = (
    "factory_id", "device_id", "name", "model", "firmware_version", "url", "email", "sealed_password",
    "metadata", "generation", "version", "updated_at",
)  # fmt: skip
"""The columns of a gateway that the probes change."""
MOST_WORDS = 3
LOG_LIMIT_S = 5.0


@dataclass(frozen=True)
class Probe:
    """A request, and the fields of its answer that are new every time."""

    what: str
    method: str
    path: str
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    fresh: tuple[str, ...] = ()


def leave_out_different(
    env: BenchEnvironment, running: Sequence[Running], connection: psycopg.Connection
) -> tuple[list[Running], list[str]]:
    """Return those that behave as the first one does, and a sentence for each that does not."""
    checker = EquivalenceChecker(env, connection)
    reference = checker.examine(running[0])
    alike, different = [running[0]], []
    for one in running[1:]:
        found = differences(reference, checker.examine(one))
        if found:
            words = "; ".join(found[:MOST_WORDS])
            different.append(f"{one.name} was left out, for it differs in {len(found)} places: {words}")
        else:
            alike.append(one)
    return alike, different


class EquivalenceChecker:
    """Asks one contestant after the other and restores the database after each."""

    def __init__(self, env: BenchEnvironment, connection: psycopg.Connection) -> None:
        self._env = env
        self._connection = connection
        self._sealer = Sealer(env.key)
        cursor = connection.cursor(row_factory=dict_row)
        row = cursor.execute("SELECT * FROM gateways ORDER BY id LIMIT 1").fetchone()
        assert row is not None  # noqa: S101 - seeded
        self._row: dict[str, Any] = row
        self._body = {
            "factory_id": str(row["factory_id"]),
            "gateway_id": PROBE,
            "name": "Dryer",
            "model": "CTC-W3",
            "firmware_version": None,
            "url": "ws://10.0.0.1:5000/path?x=1",
            "email": "a@example.com",
            "password": "päßword",
            "metadata": {"line": 3, "more": [1, 2.5, None, {"deep": "Ä"}]},
        }

    def examine(self, contestant: Running) -> dict[str, Any]:
        """Return everything that must be equal for all contestants."""
        lines_before = logged(contestant)
        found: dict[str, Any] = {}
        for probe in self._probes():
            found[probe.what] = comparable(ask(contestant.port, probe), probe.fresh)
        page = ask(contestant.port, Probe("", "GET", "/api/gateways?limit=3"))
        found["page of 3"] = comparable(page)
        cursor, tag = json.loads(page.body)["pagination"]["next_cursor"], page.headers["etag"]
        next_page = Probe("", "GET", f"/api/gateways?limit=3&cursor={cursor}")
        same = Probe("", "GET", "/api/gateways?limit=3", headers={"If-None-Match": tag})
        found["page after a cursor"] = comparable(ask(contestant.port, next_page))
        found["known page"] = comparable(ask(contestant.port, same))
        # The line may be written after the answer.
        wanted = lines_before + len(found)
        self._env.wait(lambda: logged(contestant) >= wanted, LOG_LIMIT_S)
        found["lines in the log"] = logged(contestant) - lines_before
        found["stored"] = self._stored()
        self._put_back()
        return found

    def _probes(self) -> list[Probe]:
        body, one = self._body, f"/api/gateways/{self._row['id']}"
        factory = f"/api/gateways?factory_id={body['factory_id']}"
        wrong = {**body, "gateway_id": " ", "url": "http://x", "email": "none", "password": 3, "surplus": 1}
        unknown = str(uuid4())
        return [
            Probe("one", "GET", one),
            Probe("page of 20", "GET", "/api/gateways?limit=20"),
            Probe("page of 100", "GET", "/api/gateways?limit=100"),
            Probe("page of a factory", "GET", f"{factory}&limit=20"),
            Probe("second page of a factory", "GET", f"{factory}&limit=20&offset=20"),
            Probe("last page", "GET", "/api/gateways?limit=20&offset=9990"),
            Probe("none such", "GET", f"/api/gateways/{unknown}"),
            Probe("no id", "GET", "/api/gateways/x"),
            Probe("unknown parameter", "GET", "/api/gateways?limit=20&colour=red"),
            Probe("bad limit", "GET", "/api/gateways?limit=101"),
            Probe("bad cursor", "GET", "/api/gateways?cursor=%25"),
            Probe("nowhere", "GET", "/api/nowhere"),
            Probe("create", "POST", "/api/gateways", body, fresh=FRESH),
            Probe("create again", "POST", "/api/gateways", body),
            Probe("create wrongly", "POST", "/api/gateways", wrong),
            Probe("create of nothing", "POST", "/api/gateways", {}),
            Probe("create nowhere", "POST", "/api/gateways", {**body, "factory_id": unknown}),
            Probe("no JSON", "POST", "/api/gateways", "{"),
            Probe("too old", "PUT", one, {"name": "x"}, {"If-Match": '"99-00"'}),
            Probe("change", "PUT", one, {**body, "gateway_id": "probe-2"}, fresh=("updated_at",)),
            Probe("change a part", "PATCH", one, {"model": None}, {"If-Match": "*"}, ("updated_at",)),
            Probe("change to what is taken", "PUT", one, {"gateway_id": PROBE}),
            Probe("change wrongly", "PUT", one, {**wrong, "metadata": []}),
            Probe("change an unknown gateway", "PUT", f"/api/gateways/{unknown}", {"name": "x"}),
        ]

    def _stored(self) -> list[dict[str, Any]]:
        """Return the stored rows, with decrypted passwords."""
        cursor = self._connection.cursor(row_factory=dict_row)
        written = cursor.execute(
            """
            SELECT
                id, factory_id, device_id, name, model, firmware_version, url, email, sealed_password,
                desired_state, generation, metadata, version,
                (SELECT count(*) FROM desired_state_changes AS w WHERE w.gateway_id = g.id) AS changes
            FROM gateways AS g WHERE device_id IN ('probe-1', 'probe-2') ORDER BY device_id
            """
        ).fetchall()
        return [
            {
                **{name: str(value) for name, value in row.items() if name not in {"id", "sealed_password"}},
                "password": self._opened(row["sealed_password"], row["id"]),
            }
            for row in written
        ]

    def _opened(self, sealed: bytes, row_id: UUID) -> str:
        try:
            return self._sealer.open(sealed, row_id)
        except InvalidTag:
            return "cannot be opened"

    def _put_back(self) -> None:
        """Restore the row for the next contestant."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in CHANGED
        )
        values = {**self._row, "metadata": Jsonb(self._row["metadata"])}
        with self._connection.transaction():
            self._connection.execute("DELETE FROM gateways WHERE device_id = %s", [PROBE])
            self._connection.execute("SET LOCAL session_replication_role = replica")
            statement = sql.SQL("UPDATE gateways SET {} WHERE id = %(id)s").format(columns)
            self._connection.execute(statement, values)


def logged(contestant: Running) -> int:
    """Count the requests that a contestant has logged."""
    return request_lines(contestant.log_path.read_text(errors="replace"))


def ask(port: int, probe: Probe) -> Answer:
    """One request. Raises OSError or http.client.HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_LIMIT_S)
    body = probe.body if isinstance(probe.body, str) or probe.body is None else json.dumps(probe.body)
    kind = {} if body is None else {"Content-Type": "application/json"}
    try:
        connection.request(probe.method, probe.path, body, {**kind, **probe.headers})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    finally:
        connection.close()
