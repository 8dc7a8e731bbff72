"""`python -m tests.api.turns`: how long each of the heaviest requests keeps a process from its other clients.

Measured in the processor time of the process, so that others on the machine do not count: the longest stretch
between two turns of a greenlet that only waits for a timer, as a client's request waits for its socket.
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

from service.api.docs import document_of
from service.api.services import services_of
from service.app import create_app
from service.config import ApiConfig
from service.environment import read_environment

ROWS = 10_000
HEADER = "factory_id,gateway_id,name,url,email,password,metadata\n"
HOST = {"Host": "127.0.0.1"}


def longest_turn_s(request: Callable[[], Any], status: int) -> float:
    """Of a request that is answered with this status."""
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


def main() -> None:
    """Prints what it measured, as JSON."""
    app = create_app(ApiConfig.read(read_environment()))
    document_of(app)
    services = services_of(app)
    services.database.open()
    client = app.test_client()
    factory = json.loads(client.post("/api/factories", json={"name": "Mill"}, headers=HOST).data)["id"]
    rows = [
        f'{factory},CTC-{n},Press {n},ws://10.0.0.1:5000,a@example.com,secret-{n},"{{""a"": {n}}}"\n'
        for n in range(ROWS)
    ]
    csv, wide = HEADER + "".join(rows), HEADER + "".join(rows).replace('""a""', f'""{"a" * 1400}""')
    wrong = csv.replace(",ws:", ",http:")
    many_values = json.dumps({"name": "x", "metadata": {str(n): 1 for n in range(80_000)}})

    def post(path: str, body: str, kind: str = "text/csv") -> Callable[[], Any]:
        return lambda: client.post(path, data=body, content_type=kind, headers=HOST)

    measured = {
        "a file with mistakes": longest_turn_s(post("/api/gateways/import", wrong), 400),
        "a dry run": longest_turn_s(post("/api/gateways/import?dry_run=true", wide), 200),
        "an import": longest_turn_s(post("/api/gateways/import", csv), 201),
        "the same again": longest_turn_s(post("/api/gateways/import", csv), 400),
        "many values": longest_turn_s(post("/api/factories", many_values, "application/json"), 400),
        "the description": longest_turn_s(lambda: client.get("/api/openapi.json", headers=HOST), 200),
        "its page": longest_turn_s(lambda: client.get("/api/docs/swagger-ui-bundle.js", headers=HOST), 200),
        "metrics": longest_turn_s(lambda: client.get("/metrics", headers=HOST), 200),
    }
    services.database.close()
    json.dump(measured, sys.stdout)


if __name__ == "__main__":
    main()
