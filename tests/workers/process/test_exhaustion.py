"""A system without another file, thread or process: the worker logs it, releases gateways and survives."""

import logging
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from service.gateway_states import Phase, ReasonCode
from service.threads import BackgroundThread, NoThreadError
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import worker_config
from tests.support.workers.connection_tests import begin, result_of
from tests.workers.conftest import SpawnWorker, StartSite, StartWorker
from workers.gateway_manager import capacity as capacity_module
from workers.gateway_manager.capacity import Capacity
from workers.gateway_manager.lease.watchdog import Watchdog
from workers.gateway_manager.states import ConnectionFailedError
from workers.gateway_manager.websocket.dialer import Dialer
from workers.gateway_manager.websocket.resolver import Resolver
from workers.gateway_manager.websocket.waker import WakerFactory
from workers.system_limits import RESERVED_THREADS, gateways_within, read_system_capacity

pytestmark = pytest.mark.req("ORCH-06")
# More than a process can map: the system refuses every thread with such a stack.
NO_STACK_BYTES = 1 << 46
FEW_FILES = 200


@contextmanager
def no_threads() -> Iterator[None]:
    """Make every start of a thread fail in this process."""
    before = threading.stack_size(NO_STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(before)


@contextmanager
def no_files() -> Iterator[None]:
    """Make every opening of a file fail in this process; open ones stay."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def short_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity_module, "RETRY_S", 0.3)


# Limits.


def limited(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("_", ".")).write_text(content + "\n")
    return path


def test_the_limit_on_files_is_named() -> None:
    found = read_system_capacity(Path("/nonexistent"))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert found.limit == f"{soft} open files"
    assert found.gateways == gateways_within(soft)


def test_the_least_limit_of_all_control_groups_counts(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/system/worker\n")
    root = limited(tmp_path / "groups", pids_max="max", memory_max="max")
    limited(root / "system", pids_max="150", pids_current="30")
    limited(root / "system" / "worker", pids_max="max", memory_max=str(4 << 30))
    found = read_system_capacity(membership, root)
    assert found.gateways == 150 - 30 - RESERVED_THREADS
    assert found.limit == "150 threads of the control group"
    limited(root, memory_max=str(130 << 20))
    found = read_system_capacity(membership, root)
    assert (found.gateways, found.limit) == (32, "130 MiB of the control group")
    limited(root, memory_max=str(1 << 20))
    assert read_system_capacity(membership, root).gateways == 0


def test_a_reached_limit_counts_for_a_while_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    capacity = Capacity(100, retry_s=0.2)
    assert capacity.current() == 100
    for carried in (40, 60, 30):
        capacity.reduce(carried, "no files")
    assert capacity.current() == 30
    wait_until(lambda: capacity.current() == 100, what="another try")
    capacity.reduce(50, "no files")
    assert capacity.current() == 50
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


# Files.


@pytest.mark.req("LIFECYCLE-04")
def test_a_worker_with_few_files_takes_what_fits_and_logs_it_once(
    testbed: WorkerTestBed, start_site: StartSite, spawn_worker: SpawnWorker, tmp_path: Path
) -> None:
    count = 2 * gateways_within(FEW_FILES)
    site = start_site(count)
    row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    few = spawn_worker(file_limit=FEW_FILES, LEASE_S="30", CLOSE_TIMEOUT_S="3")
    wait_until(
        lambda: counts(testbed, "no_capacity") == count // 2, 20, "half of them to report full capacity"
    )
    wait_until(lambda: counts_in_state(testbed, "connected") == count // 2, 20, "the other half")
    assert f'"limit": "{FEW_FILES} open files"' in few.log
    (tmp_path / "other").mkdir()
    spawn_worker(directory=tmp_path / "other", LEASE_S="30")
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected", 20)
    held = testbed.rows("SELECT gateway_capacity, gateways_held FROM workers ORDER BY started_at")
    assert held[0].gateways_held <= held[0].gateway_capacity == count // 2
    assert site.summary()["max_open_sessions"] == 1
    assert few.log.count("out of files or threads") == 0


def counts(testbed: WorkerTestBed, code: str) -> int:
    return len(testbed.rows("SELECT FROM gateway_statuses WHERE reason_code = %s", code))


def counts_in_state(testbed: WorkerTestBed, state: str) -> int:
    return len(testbed.rows("SELECT FROM gateway_statuses WHERE state = %s", state))


def test_a_failure_to_create_a_socket_has_its_own_reason() -> None:
    with ExitStack() as stack:
        resolver = Resolver()
        stack.callback(resolver.close)
        waker = WakerFactory().make()
        stack.callback(waker.close)
        dialer = Dialer(resolver, worker_config("postgresql://nobody@127.0.0.1:1/x").session)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        with no_files(), pytest.raises(ConnectionFailedError) as failure:
            dialer.dial(url, waker, lambda: False)
    assert (failure.value.reason.code, failure.value.reason.phase) == (ReasonCode.NO_CAPACITY, Phase.TCP)


def test_a_lease_is_renewed_on_a_socket_of_any_number(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    with ExitStack() as stack:
        null = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, null)
        # As many as gateways may use when a lost session is replaced.
        for _ in range(1100):
            stack.callback(os.close, os.dup(null))
        gateway = start_site().gateways[0]
        worker = start_worker()
        testbed.wait_for_state(testbed.add(gateway.gateway_id, gateway.url), "connected")
        wait_until(lambda: testbed.rows("SELECT FROM workers WHERE gateways_held = 1"), 8, "a renewal")
        assert not worker.worker.has_crashed
        worker.stop()


def test_a_watchdog_that_cannot_be_replaced_now_is_replaced_later() -> None:
    with Watchdog(60) as watchdog:
        first = watchdog._process
        assert first is not None
        first.kill()
        first.wait()
        with no_files():
            watchdog.set_deadline(1e9)
            watchdog.set_deadline(1e9)
        watchdog.set_deadline(1e9)
        assert watchdog._process is not None
        assert watchdog._process.pid != first.pid
        assert watchdog._process.poll() is None


# Threads.


def test_a_failure_to_start_a_thread_has_its_own_error() -> None:
    thread = BackgroundThread(lambda: None, "never")
    with no_threads(), pytest.raises(NoThreadError):
        thread.start()
    assert thread.join(0)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.usefixtures("short_retry")
def test_a_gateway_without_a_thread_is_released_and_the_worker_continues(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    site = start_site(4)
    first, *others = site.gateways
    worker = start_worker()
    first_id = testbed.add(first.gateway_id, first.url)
    testbed.wait_for_state(first_id, "connected")
    with no_threads():
        row_ids = [testbed.add(gateway.gateway_id, gateway.url) for gateway in others]
        for row_id in row_ids:
            wait_for_reason(testbed, row_id, "no_capacity")
        assert testbed.status(first_id).state == "connected"
        assert not worker.worker.has_crashed
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")
    assert first.logins == 1
    reported = [record for record in caplog.records if "out of files or threads" in record.getMessage()]
    assert 1 <= len(reported) <= 20
    worker.stop()
    assert all(testbed.is_free(row_id) for row_id in [first_id, *row_ids])


def wait_for_reason(testbed: WorkerTestBed, row_id: UUID, code: str) -> None:
    """Return the reason that a worker wrote when it released the gateway; the status shows later ones."""
    written = "SELECT FROM gateway_connections WHERE gateway_id = %s AND reason_code = %s"
    wait_until(lambda: testbed.rows(written, row_id, code), 8, "the reason")


def test_a_worker_without_threads_releases_its_gateways(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    first, second = start_site(2).gateways
    worker = start_worker()
    first_id = testbed.add(first.gateway_id, first.url)
    testbed.wait_for_state(first_id, "connected")
    with no_threads():
        second_id = testbed.add(second.gateway_id, second.url)
        wait_for_reason(testbed, second_id, "no_capacity")
        worker.stop()
    assert testbed.is_free(first_id)
    assert testbed.rows("SELECT FROM workers WHERE ended_at IS NOT NULL")
    assert [(end.code, end.unsubscribed) for end in first.sessions_closed] == [(1000, True)]


def test_a_connection_test_without_a_thread_fails_with_the_true_reason(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    # The pool cannot grow and is in use, so its connections do not count as leaks.
    worker = start_worker(DB_POOL_MIN="2", DB_POOL_MAX="2")
    wait_until(lambda: testbed.rows("SELECT FROM workers AS w WHERE worker_is_live(w)"), 8, "the worker")
    assert result_of(testbed, begin(testbed, gateway.url))["failure"] is None
    before = open_files()
    with no_threads():
        failure = result_of(testbed, begin(testbed, gateway.url))["failure"]
    assert (failure["code"], failure["retryable"]) == ("no_capacity", True)
    assert result_of(testbed, begin(testbed, gateway.url))["failure"] is None
    assert not worker.worker.has_crashed
    wait_until(lambda: open_files() <= before, 8, "all files to be closed")


@pytest.mark.usefixtures("testbed")
def test_a_worker_without_threads_for_itself_ends_with_one_line(start_worker: StartWorker) -> None:
    run: Callable[..., object] = start_worker
    with no_threads(), pytest.raises((NoThreadError, RuntimeError)):
        run()
