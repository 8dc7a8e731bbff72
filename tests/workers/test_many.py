"""Three gateways, and a thousand: all connect within the handshake limit and run independently."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

import workers.worker as worker_program
from service.file_limit import raise_file_limit
from simulator import Credentials, Site
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import EMAIL, PASSWORD, PATIENT
from tests.workers.conftest import StartWorker
from workers.gateway_manager.connection.handshake_limiter import HandshakeLimiter
from workers.gateway_manager.websocket.waker import Waker

MAX_HANDSHAKES = 20
LIMIT_S = 20.0
# One process does everything here, so slow attempts must not count as failures.
UNHURRIED = {"TCP_TIMEOUT_S": "5", "UPGRADE_TIMEOUT_S": "5", "LOGIN_TIMEOUT_S": "5"}


class CountingLimiter(HandshakeLimiter):
    """The real limiter, recording the most slots in use."""

    most = 0

    def __init__(self, slots: int) -> None:
        super().__init__(slots)
        self._count_lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def slot(self, waker: Waker, interrupted: Callable[[], bool], failures: int = 0) -> Iterator[None]:
        with super().slot(waker, interrupted, failures):
            with self._count_lock:
                self._inside += 1
                CountingLimiter.most = max(CountingLimiter.most, self._inside)
            try:
                yield
            finally:
                with self._count_lock:
                    self._inside -= 1


@pytest.mark.req("ORCH-04", "ORCH-05")
@pytest.mark.parametrize("count", [3, 1000])
def test_all_connect(
    count: int, testbed: WorkerTestBed, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_file_limit()
    monkeypatch.setattr(worker_program, "HandshakeLimiter", CountingLimiter)
    monkeypatch.setattr(CountingLimiter, "most", 0)
    names = [f"many-{number}" for number in range(count)]
    with Site.start(names, credentials=Credentials(EMAIL, PASSWORD)) as site:
        row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
        began = monotonic()
        # These gateways do not answer the subscription: holding slots until that counts as accepted would
        # take 25 s for all. The lease is long because one process does everything here.
        worker = start_worker(
            **PATIENT,
            **UNHURRIED,
            MAX_HANDSHAKES=str(MAX_HANDSHAKES),
            SUBSCRIBE_GRACE_S="0.5",
            LEASE_S="30",
        )
        connected = "SELECT count(*) AS number FROM gateway_statuses WHERE state = 'connected'"
        wait_until(
            lambda: testbed.rows(connected)[0].number == count, LIMIT_S, "every gateway to be shown connected"
        )
        assert monotonic() - began < LIMIT_S
        seen = site.summary()
        assert (seen["logins"], seen["open_sessions"], seen["max_open_sessions"]) == (count, count, 1)
        assert 1 <= CountingLimiter.most <= min(count, MAX_HANDSHAKES)
        assert len([t for t in threading.enumerate() if t.name.startswith("gateway-many-")]) == count

        first = site.gateways[0]
        first.drop("rst")
        first.wait(lambda gateway: gateway.logins == 2 and gateway.open_sessions == 1)
        testbed.wait_for_state(row_ids[0], "connected")
        assert site.summary()["logins"] == count + 1
        worker.stop()
        ended = site.summary()
        assert (ended["open_sessions"], ended["violations"]) == (0, 0)
        assert ended["sessions_closed"] == count + 1
