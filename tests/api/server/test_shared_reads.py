"""Requests that follow events from the same position share one read of the database."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from service.api.services.event_feed import EventFeed
from service.database.engine.query import Executor
from service.errors import DatabaseUnavailableError, TooManyWaitingError
from tests.support.waiting import wait_until

CROWD = 50
LIMIT_S = 10.0


@pytest.fixture
def watch() -> EventFeed:
    return EventFeed(cast("Executor", None), max_waiting=1)


class Read:
    """A read that lasts until the test ends it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count = 0
        self.may_end = threading.Event()
        self._error = error

    def __call__(self) -> str:
        self.count += 1
        self.may_end.wait(LIMIT_S)
        if self._error is not None:
            raise self._error
        return f"read {self.count}"


def joined(watch: EventFeed, what: str) -> int:
    """Count the requests waiting for another one's read."""
    future: Any = watch._reads.get(what)
    return 0 if future is None else len(future._condition._waiters)


def test_concurrent_readers_share_one_read_and_later_ones_read_again(watch: EventFeed) -> None:
    read = Read()
    with ThreadPoolExecutor(CROWD) as pool:
        results = [pool.submit(watch.read_once, "here", read, LIMIT_S) for _ in range(CROWD)]
        wait_until(lambda: joined(watch, "here") == CROWD - 1, LIMIT_S)
        read.may_end.set()
        assert {result.result() for result in results} == {"read 1"}
    assert watch.read_once("here", read, LIMIT_S) == "read 2"


def test_an_error_of_a_read_is_raised_for_all_who_share_it(watch: EventFeed) -> None:
    read = Read(DatabaseUnavailableError("away"))
    with ThreadPoolExecutor(5) as pool:
        results = [pool.submit(watch.read_once, "here", read, LIMIT_S) for _ in range(5)]
        wait_until(lambda: joined(watch, "here") == 4, LIMIT_S)
        read.may_end.set()
        assert {type(result.exception()) for result in results} == {DatabaseUnavailableError}
    assert not watch._reads


def test_reads_from_other_positions_take_turns_and_time_out(watch: EventFeed) -> None:
    read = Read()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(watch.read_once, "here", read, LIMIT_S)
        wait_until(lambda: read.count == 1, LIMIT_S)
        for what in ("here", "there"):
            with pytest.raises(TooManyWaitingError):
                watch.read_once(what, read, 0.01)
        read.may_end.set()
        assert first.result() == "read 1"
    assert not watch._reads
