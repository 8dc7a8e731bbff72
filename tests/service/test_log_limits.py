"""A storm of lines is bounded, and what was left out is counted; a failure that lasts is two lines."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from service import log_limiter
from service.log_limiter import (
    FIELDS,
    LINES,
    LINES_OF_A_SOURCE,
    MAX_KINDS,
    MAX_SOURCES,
    MAX_VALUES,
    WINDOW_S,
    LogLimiter,
)
from service.logs import BoundedHandler, JsonFormatter, configure_logging, write_counts
from service.ongoing_failure import QUIET_S, FailureNotice, OngoingFailure


class Log:
    """A logger of its own, and what it wrote."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = BoundedHandler(self.stream)
        self.handler.setFormatter(JsonFormatter())
        self.logger = logging.Logger("millgate.test")  # noqa: LOG001 - not one of the process's
        self.logger.addHandler(self.handler)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.mark.req("QUAL-05")
@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_a_storm_is_so_many_lines_and_a_count(log: Log, level: int) -> None:
    for number in range(1000):
        factory = "A" if number < 900 else "B"
        log.logger.log(level, "gateway %s is down", number, extra={"factory": factory, "reason": "x"})
    log.logger.warning("something else")
    log.handler.close()
    written = LINES + LINES_OF_A_SOURCE
    assert len(log.lines) == written + 2
    assert log.lines[written]["message"] == "something else"
    last = log.lines[-1]
    assert last["message"] == f"{1000 - written} more such lines within 10 s: gateway … is down"
    assert last["level"] == logging.getLevelName(level).lower()
    assert last["logger"] == "millgate.test"
    assert last["more"] == 1000 - written
    assert last["factory"] == {"A": 900 - LINES, "B": 100 - LINES_OF_A_SOURCE}


def test_the_count_of_a_window_comes_when_it_ends_without_another_line(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_limiter, "WINDOW_S", 0.0)
    monkeypatch.setattr(log_limiter, "LINES", 0)
    log.logger.warning("again")
    assert log.lines == []
    logging.getLogger().addHandler(log.handler)
    try:
        write_counts()
    finally:
        logging.getLogger().removeHandler(log.handler)
    assert [line["more"] for line in log.lines] == [1]
    write_counts()
    assert len(log.lines) == 1


def test_lines_for_debugging_are_all_there(log: Log) -> None:
    for number in range(LINES + 10):
        log.logger.debug("step %d", number)
    assert len(log.lines) == LINES + 10


def test_the_next_window_has_lines_again() -> None:
    limiter = LogLimiter()
    for moment in (0.0, WINDOW_S):
        assert [left.count for left in limiter.take_ended(moment)] == ([7] if moment else [])
        assert sum(limiter.admit("kind", {}, moment) for _ in range(LINES + 7)) == LINES


def test_kinds_and_values_that_a_peer_makes_up_take_no_memory() -> None:
    limiter = LogLimiter()
    admitted = sum(limiter.admit(f"kind {n}", {"address": str(n)}, 0.0) for n in range(100_000))
    assert admitted == MAX_KINDS + MAX_SOURCES
    [left_out] = limiter.take_ended(WINDOW_S)
    assert left_out.count == 100_000 - admitted
    assert len(left_out.values["address"]) == MAX_VALUES + 1
    assert set(left_out.values) <= set(FIELDS)


@pytest.fixture
def root_handlers() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = before, level
    root.setLevel(level)


@pytest.mark.usefixtures("root_handlers")
def test_every_process_has_the_bound(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    for _ in range(LINES + 5):
        logging.getLogger("millgate.x").warning("the same")
    logging.getLogger().handlers[0].close()
    assert len(capsys.readouterr().err.splitlines()) == LINES + 1


def test_a_failure_that_lasts_is_logged_when_it_begins_and_when_it_is_over(log: Log) -> None:
    failure = OngoingFailure(log.logger, begins="cannot write: %s", ends="written again, after %.1f s")
    for _ in range(5):
        failure.failed("no server")
    for _ in range(5):
        failure.over()
    assert [(line["level"], line["message"]) for line in log.lines] == [
        ("warning", "cannot write: no server"),
        ("info", "written again, after 0.0 s"),
    ]


def test_a_success_beside_failures_ends_nothing(log: Log) -> None:
    failure = OngoingFailure(log.logger, begins="fails: %s", ends="over, %.1f", calm_s=60)
    for _ in range(5):
        failure.failed("disk full")
        failure.over()
    assert [line["message"] for line in log.lines] == ["fails: disk full"]


def test_what_comes_and_goes_is_logged_once_a_while_with_how_often() -> None:
    notice = FailureNotice()
    begun = notice.failed(100.0)
    assert begun is not None
    assert (begun.lasted_s, begun.unlogged) == (0.0, 0)
    assert notice.over(101.0) == 1.0
    for moment in range(102, 112):
        assert notice.failed(moment) is None
        assert notice.over(moment + 0.5) is None
    assert notice.failed(155.0) is None
    begun = notice.failed(100 + QUIET_S)
    assert begun is not None, "one that lasts is logged once the time is over"
    assert (begun.lasted_s, begun.unlogged) == (5.0, 10)
    assert notice.failed(1000.0) is None
    assert notice.over(1001.0) == 846.0
    assert notice.over(1002.0) is None


def test_a_loud_factory_or_address_does_not_hide_the_others(log: Log) -> None:
    for _ in range(1000):
        log.logger.warning("gateway is down", extra={"factory": "loud"})
    for _ in range(10):
        log.logger.warning("gateway is down", extra={"factory": "quiet"})
    factories = [line["factory"] for line in log.lines]
    assert (factories.count("loud"), factories.count("quiet")) == (LINES, LINES_OF_A_SOURCE)


def test_sources_that_a_peer_makes_up_take_no_lines() -> None:
    limiter = LogLimiter()
    admitted = sum(limiter.admit("failed", {"address": str(n)}, 0.0) for n in range(10_000))
    assert admitted == MAX_SOURCES
