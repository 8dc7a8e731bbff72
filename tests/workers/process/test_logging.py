"""Log lines that an operator depends on."""

import logging
import re
from datetime import UTC, datetime, timedelta

import pytest

from service.gateway_states import ACTIONS, ReasonCode
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.workers.conftest import SpawnWorker, StartSite, StartWorker
from workers.gateway_manager.assignment import take_over_log

LOGGER = "millgate.connection"
MANAGER = "millgate.manager"


@pytest.mark.req("QUAL-05")
def test_a_lost_gateway_logs_one_warning_with_its_name_and_the_next_attempt(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    gateway = start_site().gateways[0]
    start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")
    gateway.stop_listening()
    gateway.drop("rst")

    def lines(level: int) -> list[logging.LogRecord]:
        return [record for record in caplog.records if (record.name, record.levelno) == (LOGGER, level)]

    wait_until(lambda: len([line for line in lines(logging.DEBUG) if "down" in line.message]) >= 2)
    gateway.start_listening()
    testbed.wait_for_state(row_id, "connected")
    [warning] = lines(logging.WARNING)
    assert vars(warning)["gateway"] == str(row_id)
    assert vars(warning)["gateway_id"] == gateway.gateway_id
    assert vars(warning)["reason"] == "connection_lost"
    assert vars(warning)["gateway_name"] in warning.message
    assert vars(warning)["since"] in warning.message
    assert f"gateway {gateway.gateway_id} (" in warning.message
    assert re.search(r"\(connected for \d+ s before\): .* Next attempt in \d", warning.message)
    assert warning.message.endswith(f"{ACTIONS[ReasonCode.CONNECTION_LOST]} (docs/runbook.md#gateway-down)")
    [recovered] = lines(logging.INFO)
    assert re.fullmatch(rf"gateway {gateway.gateway_id} \(.+\) is back after \d+\.\d s", recovered.message)


@pytest.mark.req("QUAL-05", "LIFECYCLE-05")
def test_a_take_over_says_who_lost_what_since_when_and_who_has_it_now(
    testbed: WorkerTestBed,
    start_site: StartSite,
    start_worker: StartWorker,
    spawn_worker: SpawnWorker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(take_over_log, "MAX_LINES", 2)
    caplog.set_level(logging.INFO, logger=MANAGER)
    site = start_site(5)
    doomed = spawn_worker(LEASE_S="2")
    row_ids = testbed.add_all((gateway.gateway_id, gateway.url) for gateway in site.gateways)
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")
    doomed.kill()
    successor = start_worker()
    wait_until(lambda: len(successor.registry) == 5)
    for row_id in row_ids:
        testbed.wait_for_state(row_id, "connected")
    told = [record for record in caplog.records if record.name == MANAGER]
    [ended] = [record for record in told if record.levelno == logging.WARNING]
    words = rf"worker \S+ \(pid {doomed.process.pid}\) has ended: it renewed its lease last at (\S+),"
    assert (found := re.match(words, ended.message)), ended.message
    assert datetime.fromisoformat(found[1]) > datetime.now(UTC) - timedelta(minutes=5)
    assert vars(ended)["gateways"] == 5
    assert "the 5 gateways that it held" in ended.message
    taken = [record.message for record in told if record.message.startswith("took over")]
    pattern = rf"took over gateway AP-\d \(.+\) from worker \S+ \(pid {doomed.process.pid}\), which has ended"
    assert [bool(re.fullmatch(pattern, line)) for line in taken] == [True, True, False]
    assert taken[2].startswith("took over 3 more gateways from worker ")


@pytest.mark.req("QUAL-05")
def test_what_was_handed_over_is_said_to_be_and_what_was_free_is_not(
    testbed: WorkerTestBed, start_site: StartSite, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=MANAGER)
    gateway = start_site().gateways[0]
    first = start_worker()
    row_id = testbed.add(gateway.gateway_id, gateway.url)
    testbed.wait_for_state(row_id, "connected")

    def taken() -> list[str]:
        return [record.message for record in caplog.records if record.message.startswith("took over")]

    testbed.disconnect(row_id)
    wait_until(lambda: testbed.is_free(row_id))
    testbed.connect(row_id)
    testbed.wait_for_state(row_id, "connected")
    assert taken() == []
    second = start_worker()
    first.stop()
    wait_until(lambda: len(second.registry) == 1)
    wait_until(lambda: bool(taken()))
    [line] = taken()
    assert line.endswith(", which is stopping")
