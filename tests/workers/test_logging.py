"""Log lines that an operator depends on."""

import logging

import pytest

from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.workers.conftest import StartSite, StartWorker

LOGGER = "millgate.connection"


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
    assert "Next attempt in" in warning.message
    [recovered] = lines(logging.INFO)
    assert recovered.message == "gateway connected"
