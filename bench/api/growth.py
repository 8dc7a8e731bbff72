"""Measures the API's latency as the number of gateways grows tenfold, one request after the other."""

import http.client
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any, Self

import psycopg

from bench.api.contestants import CONTESTANTS, REQUEST_LIMIT_S, Running, start
from bench.api.growth_figures import Work, section
from bench.api.seed import gateway_name, seed, settle
from bench.environment import BenchEnvironment
from bench.peers.fastapi.sealing import Sealer
from bench.results import Section, median

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = SIZES[:3]
MOST_REQUESTS = 400
LONGEST_S, QUICK_LONGEST_S = 3.0, 1.0
WARM_UP = 20
AT_ONCE = 100_000
"""How many gateways are seeded between two checks for a request to stop."""
DIFFERENT_PATHS = 200
FARTHEST = 100_000
"""Offsets that are requested only to get a cursor there."""


def grow(env: BenchEnvironment) -> Section:
    """Measures Millgate at each size; None where it refuses a request. Raises StackError, StopAskedError."""
    connection, sealer = env.connect(), Sealer(env.key)
    sizes = QUICK_SIZES if env.is_quick else SIZES
    longest_s = QUICK_LONGEST_S if env.is_quick else LONGEST_S
    latency_ms: dict[tuple[Work, int], float] = {}
    there, api = 0, None
    for size in sizes:
        env.say(f"growing to {size:,} gateways")
        while there < size:
            more = min(AT_ONCE, size - there)
            seed(connection, sealer, there + 1, there + more)
            there += more
            env.pause(0)
        settle(connection)
        api = api or start(env, CONTESTANTS[0])
        env.say(f"measuring {size:,} gateways")
        with KeepAliveClient(api) as client:
            for work, paths in paths_of(connection, client, size).items():
                try:
                    latency_ms[work, size] = median_ms(client, paths, longest_s)
                except RefusedError as error:
                    env.say(str(error))
                    latency_ms[work, size] = math.nan
                env.pause(0)
    return section(latency_ms, sizes)


class RefusedError(Exception):
    """An answer was an error: the request took longer than the API allows."""


class KeepAliveClient:
    """One connection to the API for one request after the other."""

    def __init__(self, api: Running) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=REQUEST_LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> bytes:
        """Return the body. Raises RefusedError for an error."""
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != http.HTTPStatus.OK:
            raise RefusedError(f"GET {path} was answered {response.status}")
        return body

    def get_json(self, path: str) -> Any:
        """Return the decoded body."""
        return json.loads(self.get(path))


def median_ms(client: KeepAliveClient, paths: list[str], longest_s: float) -> float:
    """Return the median latency of as many of these requests as there is time for."""
    asked = cycle(paths)
    for path in islice(asked, WARM_UP):
        client.get(path)
    took_ms = []
    deadline = time.perf_counter() + longest_s
    for path in islice(asked, MOST_REQUESTS):
        began = time.perf_counter()
        client.get(path)
        ended = time.perf_counter()
        took_ms.append((ended - began) * 1e3)
        if ended > deadline:
            break
    return median(took_ms)


def paths_of(connection: psycopg.Connection, client: KeepAliveClient, size: int) -> dict[Work, list[str]]:
    """Yield paths of resources from all over the table."""
    found = connection.execute(
        "SELECT id, factory_id FROM gateways WHERE device_id = ANY(%s)",
        [[gateway_name(number) for number in random.sample(range(1, size + 1), min(size, DIFFERENT_PATHS))]],
    ).fetchall()
    rows = [(str(row_id), str(factory_id)) for row_id, factory_id in found]
    return {
        Work.BY_ID: [f"/api/gateways/{row_id}" for row_id, _ in rows],
        Work.STATUS: [f"/api/gateways/{row_id}/status" for row_id, _ in rows],
        Work.CURSOR_PAGE: list(islice(cursor_paths(client.get_json, size // 2), DIFFERENT_PATHS // 4)),
        Work.FIRST_PAGE: ["/api/gateways?limit=20"],
        Work.FACTORY_PAGE: [f"/api/gateways?limit=20&factory_id={factory_id}" for _, factory_id in rows],
        Work.OFFSET_PAGE: [f"/api/gateways?limit=20&offset={size * 9 // 10}"],
        Work.TOTAL: ["/api/gateways?limit=1"],
        Work.SUMMARY: ["/api/status/summary"],
    }


def cursor_paths(get_json: Callable[[str], Any], offset: int) -> Iterator[str]:
    """Yield one page after the other, beginning in the middle of the list."""
    page = get_json(f"/api/gateways?limit=20&offset={min(offset, FARTHEST)}")
    while (cursor := page["pagination"]["next_cursor"]) is not None:
        path = f"/api/gateways?limit=20&cursor={cursor}"
        yield path
        page = get_json(path)
