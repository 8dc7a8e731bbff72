"""Connection tests on a worker: claimed, limited, left to others, and ended with the lease."""

from collections.abc import Iterator
from contextlib import ExitStack
from math import inf

import pytest

from service.config import CONNECTION_TESTS_PER_WORKER
from service.database.desired.connection_tests import MOST_IN_ALL, ConnectionTestRepository, StoredLogin
from service.database.engine.ids import new_id
from service.database.engine.pool import ConnectionExecutor, connect
from service.database.observed.workers import WorkerRepository
from service.errors import GatewayNotFoundError, NoWorkerError, TooManyConnectionTestsError
from service.gateway_states import Phase, Reason, ReasonCode
from simulator import Fault
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import EMAIL, PASSWORD, worker_config
from tests.support.workers.connection_tests import WAIT_S, begin, put, result_of, row_of
from tests.workers.conftest import StartSite, StartWorker
from workers.gateway_manager.connection_tests.steps import STEPS, StepRecorder
from workers.gateway_manager.websocket.progress import NO_PROGRESS, AttemptProgress

PATIENT = {
    "TCP_TIMEOUT_S": "6",
    "UPGRADE_TIMEOUT_S": "6",
    "LOGIN_TIMEOUT_S": "6",
    "LIVENESS_TIMEOUT_S": "25",
    "LEASE_S": "8",
}


def claimed(testbed: WorkerTestBed) -> int:
    return len(testbed.rows("SELECT FROM connection_tests WHERE claimed_by IS NOT NULL AND result IS NULL"))


def wait_for_worker(testbed: WorkerTestBed, count: int = 1) -> None:
    live = "SELECT FROM workers AS w WHERE worker_is_live(w)"
    wait_until(lambda: len(testbed.rows(live)) == count, WAIT_S, "live workers")


def test_a_notification_is_enough(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    [gateway] = start_site().gateways
    start_worker(**PATIENT, POLL_INTERVAL_S="60")
    wait_for_worker(testbed)
    listening = "SELECT FROM pg_stat_activity WHERE application_name = 'millgate-listener' AND query LIKE %s"
    # The last of its channels.
    wait_until(lambda: testbed.rows(listening, "LISTEN%returning%"), WAIT_S, "the worker to listen")
    test_id = begin(testbed, gateway.url)
    assert result_of(testbed, test_id)["failure"] is None
    assert bytes(row_of(testbed, test_id).sealed_password) == b""


def test_a_notification_is_not_needed(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    [gateway] = start_site().gateways
    start_worker(**PATIENT)
    assert result_of(testbed, put(testbed, gateway.url))["failure"] is None


def test_a_few_at_once(testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker) -> None:
    [gateway] = start_site().gateways
    gateway.fault(Fault.SILENT_LOGIN)
    trials = [put(testbed, gateway.url, expires_in_s=60) for _ in range(CONNECTION_TESTS_PER_WORKER + 2)]
    start_worker(**PATIENT)
    gateway.wait(lambda seen: seen.attempts == CONNECTION_TESTS_PER_WORKER, WAIT_S)
    # The worker polls meanwhile and leaves the others alone.
    looks = "SELECT FROM workers WHERE heartbeat_at > started_at + interval '1 second'"
    wait_until(lambda: testbed.rows(looks), WAIT_S, "a second to pass")
    assert (gateway.attempts, claimed(testbed)) == (CONNECTION_TESTS_PER_WORKER, CONNECTION_TESTS_PER_WORKER)

    def is_over() -> bool:
        gateway.drop()
        return all(row_of(testbed, test_id).result for test_id in trials)

    wait_until(is_over, WAIT_S, "all tests to end")
    assert gateway.attempts == len(trials)
    codes = {row_of(testbed, test_id).result["failure"]["code"] for test_id in trials}
    assert codes == {"connection_lost"}


def test_abandoned_connection_tests_are_removed(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    [gateway] = start_site().gateways
    put(testbed, gateway.url, expires_in_s=-60)
    put(testbed, gateway.url, expires_in_s=-1)
    start_worker(**PATIENT)
    wait_until(
        lambda: not testbed.rows("SELECT FROM connection_tests"), WAIT_S, "the abandoned tests to be removed"
    )
    assert gateway.attempts == 0


def test_a_stopping_worker_leaves_its_connection_tests_to_others(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    [gateway] = start_site().gateways
    gateway.fault(Fault.SILENT_LOGIN)
    first = start_worker(**PATIENT)
    test_id = put(testbed, gateway.url, expires_in_s=60)
    gateway.wait(lambda seen: seen.attempts == 1, WAIT_S)
    start_worker(**PATIENT)
    wait_for_worker(testbed, 2)
    gateway.fault(None)
    first.stop()
    assert result_of(testbed, test_id)["failure"] is None
    assert (gateway.attempts, gateway.logins) == (2, 1)


def test_a_connection_test_ends_with_the_lease(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    [gateway] = start_site().gateways
    start_worker(**PATIENT, SUBSCRIBE_GRACE_S="8")
    test_id = put(testbed, gateway.url, expires_in_s=60)
    gateway.wait(lambda seen: seen.subscriptions == 1, WAIT_S)
    testbed.rows("UPDATE workers SET ended_at = clock_timestamp()")
    gateway.wait(lambda seen: bool(seen.sessions_closed), timeout_s=4)
    [end] = gateway.sessions_closed
    assert not end.unsubscribed, "it must not write a result"
    wait_until(lambda: testbed.rows("SELECT FROM workers WHERE ended_at IS NULL"), WAIT_S, "a new lease")
    assert row_of(testbed, test_id).result is None
    assert gateway.logins == 1


def test_a_gateway_stalling_within_a_frame_exceeds_no_test_timeout(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    [gateway] = start_site().gateways
    gateway.fault(Fault.HALF_FRAME, phase="session")
    start_worker(**PATIENT)
    failure = result_of(testbed, put(testbed, gateway.url, expires_in_s=4))["failure"]
    assert (failure["step"], failure["code"]) == ("subscribe", "ping_timeout")


def test_a_password_that_cannot_be_decrypted(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    [gateway] = start_site().gateways
    test_id = put(testbed, gateway.url)
    testbed.rows("UPDATE connection_tests SET sealed_for = uuidv7()")
    start_worker(**PATIENT)
    failure = result_of(testbed, test_id)["failure"]
    assert (failure["step"], failure["code"]) == ("login", "password_unreadable")
    assert gateway.logins + gateway.rejected_logins == 0


@pytest.fixture
def five_workers(testbed: WorkerTestBed) -> Iterator[None]:
    """Open sessions of workers that do nothing."""
    config = worker_config(testbed.database_url).database
    with ExitStack() as sessions:
        for _ in range(5):
            session = sessions.enter_context(connect(config, "tests"))
            WorkerRepository(ConnectionExecutor(session)).register("host", 1, "0", 60)
        yield


@pytest.mark.usefixtures("five_workers")
def test_connection_tests_of_all_workers_are_limited(testbed: WorkerTestBed) -> None:
    first, *_ = [begin(testbed, "ws://gateway") for _ in range(MOST_IN_ALL)]
    with pytest.raises(TooManyConnectionTestsError):
        begin(testbed, "ws://gateway")
    testbed.rows("UPDATE connection_tests SET expires_at = now() WHERE id = %s", first)
    begin(testbed, "ws://gateway")


@pytest.mark.usefixtures("five_workers")
def test_stopping_workers_do_not_count(testbed: WorkerTestBed) -> None:
    testbed.rows("UPDATE workers SET is_draining = TRUE")
    with pytest.raises(NoWorkerError):
        begin(testbed, "ws://gateway")
    assert testbed.rows("SELECT FROM connection_tests") == []


@pytest.mark.usefixtures("five_workers")
def test_only_a_live_gateways_stored_password_is_copied(testbed: WorkerTestBed) -> None:
    row_id = testbed.add("AP-1", "ws://gateway")
    with testbed.database.transaction() as transaction:
        trials = ConnectionTestRepository(transaction)
        assert trials.lock_login(row_id) == StoredLogin("ws://gateway", EMAIL)
        test_id = new_id()
        trials.create_with_stored_password(test_id, row_id, StoredLogin("ws://gateway/a", EMAIL), 10)
    row = row_of(testbed, test_id)
    assert (row.url, row.sealed_for) == ("ws://gateway/a", row_id)
    assert testbed.sealer.open(bytes(row.sealed_password), row_id).reveal() == PASSWORD
    testbed.delete(row_id)
    with testbed.database.transaction() as transaction:
        trials = ConnectionTestRepository(transaction)
        with pytest.raises(GatewayNotFoundError):
            trials.lock_login(row_id)
        with pytest.raises(GatewayNotFoundError):
            trials.create_with_stored_password(new_id(), row_id, StoredLogin("ws://gateway", EMAIL), 10)


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def reported(recorder: StepRecorder) -> list[tuple[str, str, float | None]]:
    return [(step["name"], step["status"], step["duration_ms"]) for step in recorder.report()["steps"]]


def test_steps_are_timed_one_by_one() -> None:
    clock = Clock()
    recorder = StepRecorder(clock)
    for phase, lasted_s in [(Phase.RESOLVE, 0.25), (Phase.TCP, 0.5), (Phase.UPGRADE, 1.0)]:
        recorder.begin(phase)
        clock.now += lasted_s
    recorder.fail(Reason(ReasonCode.UPGRADE_REJECTED, "No.", Phase.UPGRADE))
    clock.now += 5
    assert reported(recorder) == [
        ("resolve", "ok", 250.0),
        ("connect", "ok", 500.0),
        ("tls", "skipped", None),
        ("upgrade", "failed", 1000.0),
        ("login", "skipped", None),
        ("subscribe", "skipped", None),
    ]
    failure = recorder.report()["failure"]
    assert failure == {"step": "upgrade", "code": "upgrade_rejected", "message": "No.", "retryable": True}


def test_all_steps_may_succeed() -> None:
    clock = Clock()
    recorder = StepRecorder(clock)
    for phase in STEPS:
        recorder.begin(phase)
    recorder.end()
    clock.now += 5
    assert {(status, duration) for _, status, duration in reported(recorder)} == {("ok", 0.0)}
    assert recorder.report()["failure"] is None


def test_an_internal_error_before_the_first_step_fails_that_step() -> None:
    recorder = StepRecorder(Clock())
    recorder.fail(Reason(ReasonCode.INTERNAL_ERROR, "Ours.", Phase.CLAIM))
    assert [status for _, status, _ in reported(recorder)] == ["failed", *["skipped"] * 5]


def test_a_time_limit_applies_to_every_step() -> None:
    assert NO_PROGRESS.clamp_to_deadline(5.0) == 5.0
    assert AttemptProgress(finish_by=3.0).clamp_to_deadline(5.0) == 3.0
    assert AttemptProgress(finish_by=inf).clamp_to_deadline(5.0) == 5.0
