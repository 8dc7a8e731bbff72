"""Every fault gets its own state and reason, and disturbs no other gateway of the worker."""

import socket
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
import pytest

from devstack.postgres.server import free_port
from service.gateway_states import State
from simulator import Credentials, Fault, Gateway, Site
from tests.support.database_server import cloned_database
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_process import ThreadedWorker
from tests.support.worker_settings import EMAIL, PASSWORD
from tests.workers.conftest import StartSite, StartWorker

pytestmark = pytest.mark.req("ORCH-06")
NOTIFICATION: dict[str, Any] = {
    "Type": "NOT_DYN_TEMP",
    "From": "SERV",
    "Target": "UI",
    "Data": {"Serial": "1", "Temp": 40},
}


@dataclass
class Hall:
    """One worker with two healthy gateways, to which faulty ones can be added."""

    testbed: WorkerTestBed
    worker: ThreadedWorker
    healthy: Site
    healthy_ids: list[UUID]
    bad_ones: int = 0

    def add(self, url: str) -> UUID:
        """Add a gateway beside the healthy ones."""
        self.bad_ones += 1
        return self.testbed.add(f"bad-{self.bad_ones}", url)

    def wait_for_failure(self, row_id: UUID, code: str) -> Any:
        """Wait for a failure with this code; return its event."""

        def failure() -> Any:
            events = self.testbed.events(row_id)
            return next((e for e in events if e.to_state == "retrying" and e.reason_code == code), None)

        try:
            return wait_until(failure, 8, f"a failure {code}")
        except AssertionError:
            history = [(e.to_state, e.reason_code, e.reason_message) for e in self.testbed.events(row_id)]
            raise AssertionError(f"no failure {code}, but {history}") from None

    def assert_undisturbed(self) -> None:
        """Assert that the healthy ones stayed connected and answer."""
        assert [gateway.logins for gateway in self.healthy.gateways] == [1, 1]
        assert [gateway.open_sessions for gateway in self.healthy.gateways] == [1, 1]
        assert [self.worker.state(row_id) for row_id in self.healthy_ids] == [State.CONNECTED] * 2
        assert not self.worker.worker.has_crashed

    def round_trip_s(self) -> float:
        """Measure the time until the worker has counted a healthy gateway's message."""
        gateway, row_id = self.healthy.gateways[0], self.healthy_ids[0]
        before = self.messages(row_id)
        began = monotonic()
        assert gateway.send(NOTIFICATION) == 1
        wait_until(lambda: self.messages(row_id) > before)
        return monotonic() - began

    def messages(self, row_id: UUID) -> int:
        """Return how many messages the worker has read from a gateway."""
        observation = self.worker.registry.find(row_id)
        return 0 if observation is None else observation.messages_received


@pytest.fixture(scope="module")
def hall(server_admin: psycopg.Connection, server_url: str) -> Iterator[Hall]:
    """Yield one hall for all tests of the module, so that a fault's lasting effects show in the next test."""
    names = ["well-1", "well-2"]
    with ExitStack() as parts:
        url = parts.enter_context(cloned_database(server_admin, server_url))
        testbed = parts.enter_context(WorkerTestBed(url))
        healthy = parts.enter_context(Site.start(names, credentials=Credentials(EMAIL, PASSWORD)))
        worker = ThreadedWorker(url, {"LEASE_S": "6", "SUBSCRIBE_GRACE_S": "0.3", "LIVENESS_TIMEOUT_S": "3"})
        parts.callback(worker.stop)
        row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in healthy.gateways)
        for row_id in row_ids:
            testbed.wait_for_state(row_id, "connected")
        yield Hall(testbed, worker, healthy, row_ids)


@pytest.fixture
def bad(hall: Hall, start_site: StartSite) -> Iterator[Gateway]:
    """Yield a gateway for a fault; at the end delete it and assert that the healthy ones were undisturbed."""
    yield start_site().gateways[0]
    hall.assert_undisturbed()
    for row in hall.testbed.rows(
        "SELECT id FROM gateways WHERE device_id LIKE 'bad-%%' AND deleted_at IS NULL"
    ):
        hall.testbed.delete(row.id)
    hall.assert_undisturbed()


AT_UPGRADE = [
    pytest.param(Fault.REJECT_UPGRADE, {"status": 503}, "upgrade_rejected", "503", id="503"),
    pytest.param(Fault.REJECT_UPGRADE, {"status": 200}, "upgrade_rejected", "200", id="200"),
    pytest.param(Fault.REJECT_UPGRADE, {"status": 401}, "upgrade_rejected", "401", id="401"),
    pytest.param(Fault.SILENT_UPGRADE, {}, "connect_timeout", "", id="silent"),
    pytest.param(Fault.DRIBBLE_UPGRADE, {}, "connect_timeout", "", id="dribbled"),
    pytest.param(Fault.HUGE_UPGRADE_HEADERS, {}, "upgrade_rejected", "65536 bytes", id="huge-headers"),
]


@pytest.mark.parametrize(("fault", "options", "code", "words"), AT_UPGRADE)
def test_fault_of_the_upgrade(
    hall: Hall, bad: Gateway, fault: Fault, options: Any, code: str, words: str
) -> None:
    bad.fault(fault, **options)
    failure = hall.wait_for_failure(hall.add(bad.url), code)
    assert failure.reason_phase == "upgrade"
    assert words in failure.reason_message
    assert bad.logins + bad.rejected_logins == 0


def test_redirect_is_not_followed(hall: Hall, bad: Gateway, start_site: StartSite) -> None:
    elsewhere = start_site(prefix="elsewhere-").gateways[0]
    bad.fault(Fault.REJECT_UPGRADE, status=302, location=elsewhere.url)
    row_id = hall.add(bad.url)
    failure = hall.wait_for_failure(row_id, "upgrade_rejected")
    assert "302" in failure.reason_message
    bad.wait(lambda gateway: gateway.attempts >= 2)
    assert elsewhere.attempts == 0


AT_LOGIN = [
    pytest.param(Fault.SILENT_LOGIN, {}, "login_timeout", "", id="silent"),
    pytest.param(Fault.REJECT_LOGIN, {}, "login_rejected", "", id="success-false"),
    pytest.param(Fault.ERROR_LOGIN, {}, "login_rejected", "Login failed", id="error"),
    pytest.param(Fault.ERROR_LOGIN, {"attempt": None}, "login_rejected", "Login failed", id="unnamed-error"),
    pytest.param(Fault.CLOSE_BEFORE_LOGIN, {"code": 1000}, "closed_by_gateway", "1000", id="close-1000"),
    pytest.param(Fault.CLOSE_BEFORE_LOGIN, {"code": 1008}, "closed_by_gateway", "1008", id="close-1008"),
    pytest.param(Fault.CLOSE_BEFORE_LOGIN, {"code": 1011}, "closed_by_gateway", "1011", id="close-1011"),
    pytest.param(Fault.NOT_JSON, {"phase": "login"}, "protocol_error", "not JSON", id="not-json"),
    pytest.param(Fault.JSON_ARRAY, {"phase": "login"}, "protocol_error", "list", id="array"),
    pytest.param(Fault.BINARY_FRAME, {"phase": "login"}, "protocol_error", "binary", id="binary"),
    pytest.param(Fault.BAD_UTF8, {"phase": "login"}, "protocol_error", "UTF-8", id="bad-utf8"),
    pytest.param(Fault.HALF_FRAME, {"phase": "login"}, "login_timeout", "stalled", id="half-frame"),
    pytest.param(Fault.DRIBBLE_LOGIN, {"byte_interval_s": 0.1}, "login_timeout", "stalled", id="dribbled"),
    pytest.param(Fault.HUGE_FRAME, {"phase": "login"}, "message_too_big", "4194304", id="huge-frame"),
]


@pytest.mark.parametrize(("fault", "options", "code", "words"), AT_LOGIN)
def test_fault_of_the_login(
    hall: Hall, bad: Gateway, fault: Fault, options: Any, code: str, words: str
) -> None:
    bad.fault(fault, **options)
    row_id = hall.add(bad.url)
    failure = hall.wait_for_failure(row_id, code)
    assert failure.reason_phase == "login"
    assert failure.from_state == "authenticating"
    assert words in failure.reason_message
    assert hall.testbed.status(row_id).last_connected_at is None


AT_SUBSCRIPTION = [
    pytest.param(Fault.ERROR_SUBSCRIBE, {}, "subscribe_rejected", "Cannot subscribe", id="error"),
    pytest.param(Fault.ERROR_SUBSCRIBE, {"attempt": None}, "subscribe_rejected", "", id="unnamed-error"),
    pytest.param(Fault.CLOSE_AFTER_LOGIN, {"code": 1000}, "closed_by_gateway", "1000", id="close-1000"),
    pytest.param(Fault.CLOSE_AFTER_LOGIN, {"code": 1008}, "closed_by_gateway", "1008", id="close-1008"),
    pytest.param(Fault.CLOSE_AFTER_LOGIN, {"code": 1011}, "closed_by_gateway", "1011", id="close-1011"),
    pytest.param(Fault.RESET_AFTER_LOGIN, {}, "connection_lost", "", id="reset"),
    pytest.param(Fault.NOT_JSON, {}, "protocol_error", "not JSON", id="not-json"),
    pytest.param(Fault.JSON_ARRAY, {}, "protocol_error", "list", id="array"),
    pytest.param(Fault.BINARY_FRAME, {}, "protocol_error", "binary", id="binary"),
    pytest.param(Fault.BAD_UTF8, {}, "protocol_error", "UTF-8", id="bad-utf8"),
    pytest.param(Fault.HALF_FRAME, {}, "ping_timeout", "stalled", id="half-frame"),
    pytest.param(Fault.HUGE_FRAME, {}, "message_too_big", "4194304", id="huge-frame"),
    pytest.param(Fault.NO_PONGS, {}, "ping_timeout", "pong", id="no-pongs"),
]


@pytest.mark.parametrize(("fault", "options", "code", "words"), AT_SUBSCRIPTION)
def test_fault_after_the_login(
    hall: Hall, bad: Gateway, fault: Fault, options: Any, code: str, words: str
) -> None:
    bad.fault(fault, **options)
    row_id = hall.add(bad.url)
    failure = hall.wait_for_failure(row_id, code)
    # A fault right after the login may be detected while the subscription is sent, or later.
    assert failure.reason_phase in {"subscribe", "session"}
    assert words in failure.reason_message
    bad.wait(lambda gateway: gateway.attempts >= 2, timeout_s=8)
    bad.fault(None)
    hall.testbed.wait_for_state(row_id, "connected")
    assert bad.max_open_sessions == 1


CUTS: list[Any] = [
    pytest.param(lambda gateway: gateway.drop("rst"), "connection_lost", "", id="rst"),
    pytest.param(lambda gateway: gateway.drop("fin"), "connection_lost", "without a close", id="fin"),
    pytest.param(lambda gateway: gateway.drop("close", 1000), "closed_by_gateway", "1000", id="close-1000"),
    pytest.param(lambda gateway: gateway.drop("close", 1008), "closed_by_gateway", "1008", id="close-1008"),
    pytest.param(lambda gateway: gateway.drop("close", 1011), "closed_by_gateway", "1011", id="close-1011"),
    pytest.param(lambda gateway: gateway.freeze(), "ping_timeout", "pong", id="frozen"),
]


@pytest.mark.parametrize(("cut", "code", "words"), CUTS)
def test_cut_session_reconnects(
    hall: Hall, bad: Gateway, cut: Callable[[Gateway], object], code: str, words: str
) -> None:
    row_id = hall.add(bad.url)
    hall.testbed.wait_for_state(row_id, "connected")
    cut(bad)
    failure = hall.wait_for_failure(row_id, code)
    assert (failure.from_state, failure.reason_phase) == ("connected", "session")
    assert words in failure.reason_message
    bad.thaw()
    hall.testbed.wait_for_state(row_id, "connected")


def test_closed_port(hall: Hall, bad: Gateway) -> None:
    row_id = hall.add(f"ws://127.0.0.1:{free_port()}")
    assert hall.wait_for_failure(row_id, "connection_refused").reason_phase == "tcp"


def test_name_that_does_not_resolve(hall: Hall, bad: Gateway) -> None:
    row_id = hall.add("ws://nonexistent.invalid:5000")
    assert hall.wait_for_failure(row_id, "dns_failed").reason_phase == "resolve"


def test_host_that_does_not_answer(hall: Hall, bad: Gateway) -> None:
    with ExitStack() as sockets:
        # With a full accept queue the system drops further connection requests.
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        row_id = hall.add(f"ws://127.0.0.1:{listener.getsockname()[1]}")
        assert hall.wait_for_failure(row_id, "connect_timeout").reason_phase == "tcp"


def test_server_without_tls(hall: Hall, bad: Gateway) -> None:
    row_id = hall.add(bad.url.replace("ws://", "wss://"))
    assert hall.wait_for_failure(row_id, "tls_failed").reason_phase == "tls"


def test_unknown_type_is_ignored(hall: Hall, bad: Gateway) -> None:
    bad.fault(Fault.UNKNOWN_TYPE)
    row_id = hall.add(bad.url)
    hall.testbed.wait_for_state(row_id, "connected")
    bad.send({**NOTIFICATION, "Type": "SOMETHING_ELSE"})
    bad.send({**NOTIFICATION, "Type": "RTN_SURPRISE", "Data": [1]})
    wait_until(lambda: hall.messages(row_id) >= 2)
    assert hall.testbed.status(row_id).state == "connected"
    assert (bad.logins, bad.open_sessions) == (1, 1)


def test_error_about_another_command_is_ignored(hall: Hall, bad: Gateway) -> None:
    row_id = hall.add(bad.url)
    hall.testbed.wait_for_state(row_id, "connected")
    bad.send({"Type": "RTN_ERR", "From": "SERV", "Target": "UI", "Data": {"Attempt": None, "Error": "Hm"}})
    wait_until(lambda: hall.messages(row_id) == 1)
    assert (bad.logins, bad.open_sessions) == (1, 1)


def test_flood_is_read_at_a_limited_rate(hall: Hall, bad: Gateway) -> None:
    quiet_s = statistics.median(hall.round_trip_s() for _ in range(9))
    bad.fault(Fault.FLOOD, messages_per_s=5000)
    row_id = hall.add(bad.url)
    hall.testbed.wait_for_state(row_id, "connected")
    began, before = monotonic(), hall.messages(row_id)
    flooded_s = statistics.median(hall.round_trip_s() for _ in range(25))
    wait_until(lambda: hall.messages(row_id) > 900)
    read = hall.messages(row_id) - before
    # 500 a second (MAX_MESSAGES_PER_S), and a burst of one second at the start.
    assert read <= 500 * (monotonic() - began + 1) + 100
    assert flooded_s < quiet_s + 0.1
    assert hall.testbed.status(row_id).state == "connected"
    assert (bad.logins, bad.open_sessions) == (1, 1)


def test_credentials_are_tried_three_times_and_then_rarely(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    gateway.fault(Fault.REJECT_LOGIN)
    start_worker(LOGIN_TRIES="3")
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    status = testbed.wait_for_state(row_id, "auth_failed")
    assert gateway.rejected_logins == gateway.attempts == 3
    assert (status.reason_code, status.reason_retryable, status.attempt) == ("login_rejected", False, 3)
    assert status.next_attempt_at is not None
    assert 25 < (status.next_attempt_at - status.as_of).total_seconds() <= 30
    moves = [event.to_state for event in testbed.events(row_id)]
    assert moves == ["connecting", "authenticating", "retrying"] * 2 + [
        "connecting",
        "authenticating",
        "auth_failed",
    ]


def test_unreachable_gateway_in_quarantine_disturbs_no_other(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    site = start_site(2)
    rejecting, well = site.gateways
    rejecting.fault(Fault.REJECT_LOGIN)
    worker = start_worker(LOGIN_TRIES="1", LOGIN_QUARANTINE_S="0.2")
    row_id = testbed.add(rejecting.gateway_id, rejecting.url)
    well_id = testbed.add(well.gateway_id, well.url)
    testbed.wait_for_state(well_id, "connected")
    testbed.wait_for_state(row_id, "auth_failed")
    rejecting.stop_listening()

    def refused_in_quarantine() -> bool:
        return any(event.reason_code == "connection_refused" for event in testbed.events(row_id))

    wait_until(refused_in_quarantine)
    assert testbed.status(row_id).state in {"auth_failed", "connecting"}
    rejecting.fault(None)
    rejecting.start_listening()
    testbed.wait_for_state(row_id, "connected")
    assert (well.logins, well.open_sessions) == (1, 1)
    assert not worker.worker.has_crashed


def test_password_repeated_by_a_gateway_is_not_shown(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker
) -> None:
    gateway = start_site().gateways[0]
    marker = "Marker-4711-\N{GREEK SMALL LETTER PI}"
    gateway.credentials = Credentials(EMAIL, marker)
    start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url, password=marker)
    testbed.wait_for_state(row_id, "connected")
    words = f"not {marker}, {marker * 30}\n\x1b[31m"
    data = {"Attempt": "POST_SUB_CHANGES", "Error": words}
    gateway.send({"Type": "RTN_ERR", "From": "SERV", "Target": "UI", "Data": dict(data)})

    def shown() -> list[str]:
        return [e.reason_message for e in testbed.events(row_id) if e.reason_code == "subscribe_rejected"]

    (message,) = wait_until(shown)
    assert message == "The gateway rejected the subscription: not …, … …."
