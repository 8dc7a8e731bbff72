"""Simulated gateways, and how many of them a database and the gateways themselves take for connected."""

import secrets
from typing import Self

import psycopg

from devstack.harness.sandbox import Sandbox
from devstack.rehearsal.load import Load
from devstack.rehearsal.steps import Rehearsal
from simulator import Credentials, Site

EMAIL = "rehearsal@example.com"
GATEWAYS = 60
AT_FIRST = 30
CONNECT_LIMIT_S = 60.0
COUNT = "SELECT count(*), count(*) FILTER (WHERE state = 'connected') FROM gateway_statuses"


class Fleet:
    """As many gateways as there may ever be, each on a port of its own. A context manager."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        password = secrets.token_urlsafe(12)
        names = [f"AP-{number:03d}" for number in range(1, GATEWAYS + 1)]
        self._site = Site.start(names, credentials=Credentials(EMAIL, password), one_port_each=True)
        self.login = {"email": EMAIL, "password": password}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._site.close()

    @property
    def most_sessions(self) -> int:
        """How many sessions a gateway had at the same time, at most."""
        return int(self._site.summary()["max_open_sessions"])

    @property
    def open_sessions(self) -> int:
        """How many there are now."""
        return int(self._site.summary()["open_sessions"])

    def start_load(self, port: int) -> Load:
        """A client that has created the first gateways, and is yet to be entered."""
        urls = {gateway.gateway_id: gateway.url for gateway in self._site.gateways}
        load = Load(port, urls, self.login)
        for _ in range(AT_FIRST):
            load.create()
        return load

    def wait_until_connected(self, database_url: str) -> float | None:
        """Until all gateways of a database are connected, and no others; when that was, or None."""
        return self._sandbox.wait_until(lambda: self._is_connected(database_url), CONNECT_LIMIT_S, 0.1)

    def show_connected(self, rehearsal: Rehearsal, database_url: str) -> None:
        """Adds to a rehearsal whether all are connected, and with one session each."""
        are_connected = self.wait_until_connected(database_url) is not None
        live, connected = count_gateways(database_url)
        rehearsal.check("all gateways are connected", f"{connected} of {live}", are_connected)
        measured = f"{self.open_sessions} sessions for {live} gateways; at most {self.most_sessions} to one"
        rehearsal.check(
            "one session each, at all times",
            measured,
            (self.open_sessions, self.most_sessions) == (live, 1),
        )

    def _is_connected(self, database_url: str) -> bool:
        live, connected = count_gateways(database_url)
        return live == connected == self.open_sessions


def count_gateways(database_url: str) -> tuple[int, int]:
    """How many there are, and how many of them are connected."""
    with psycopg.connect(database_url) as connection:
        [live, connected] = connection.execute(COUNT).fetchone() or [0, 0]
    return live, connected
