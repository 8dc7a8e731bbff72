"""Who leads: one at a time, and who takes too long is overtaken once."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from service.api.leadership import Lead, Leadership
from tests.waiting import wait_until

PATIENCE_S = 0.01
LIMIT_S = 10.0


class Waiting:
    """Threads that wait to lead, and do nothing once they do; and one that watches."""

    def __init__(self, leadership: Leadership[str], count: int) -> None:
        self.leads: list[Lead[str]] = []
        self.taken_over: list[str] = []
        self._leadership = leadership
        self.threads = [threading.Thread(target=self._wait) for _ in range(count)]
        self.threads.append(threading.Thread(target=self._watch))
        for thread in self.threads:
            thread.start()

    def _wait(self) -> None:
        lead = self._leadership.wait()
        if lead is not None:
            self.leads.append(lead)

    def _watch(self) -> None:
        self._leadership.watch(20 * LIMIT_S, self.taken_over.append)


@pytest.fixture
def leadership() -> Iterator[Leadership[str]]:
    """Ended at the end, so that nobody waits on."""
    made = Leadership[str](PATIENCE_S)
    yield made
    made.end()
    with suppress(RuntimeError):  # Nobody led.
        made.pass_on()


def test_one_leads_and_the_others_wait_for_the_end(leadership: Leadership[str]) -> None:
    waiting = Waiting(leadership, 4)
    wait_until(lambda: waiting.leads, LIMIT_S, "a leader")
    leadership.end()
    leadership.pass_on()
    for thread in waiting.threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert len(waiting.leads) == 1
    assert waiting.taken_over == []
    assert leadership.wait() is None


def test_who_takes_too_long_is_overtaken_once(leadership: Leadership[str]) -> None:
    waiting = Waiting(leadership, 3)
    wait_until(lambda: waiting.leads, LIMIT_S, "a leader")
    first = waiting.leads[0]
    first.begin("slow")
    wait_until(lambda: len(waiting.leads) == 2, LIMIT_S, "another leader")
    assert waiting.taken_over == ["slow"]
    assert not first.finish()
    waiting.leads[1].begin("slow, too")
    wait_until(lambda: len(waiting.leads) == 3, LIMIT_S, "a third")
    assert waiting.taken_over == ["slow", "slow, too"]
    waiting.leads[2].begin("quick")
    assert waiting.leads[2].finish()


def test_with_nobody_to_follow_the_next_who_comes_leads(leadership: Leadership[str]) -> None:
    waiting = Waiting(leadership, 1)
    wait_until(lambda: waiting.leads, LIMIT_S, "a leader")
    first = waiting.leads[0]
    first.begin("slow")
    wait_until(lambda: waiting.taken_over, LIMIT_S, "the watcher")
    assert not first.finish()
    assert leadership.wait() not in {None, first}


def test_who_passes_it_on_is_followed_at_once_and_was_not_overtaken(leadership: Leadership[str]) -> None:
    waiting = Waiting(leadership, 3)
    for number in range(2):
        wait_until(lambda: len(waiting.leads) > number, LIMIT_S, "a leader")  # noqa: B023 (called here)
        lead = waiting.leads[number]
        lead.begin("a write")
        if lead.finish():
            leadership.pass_on()
        assert not lead.finish(), "it leads no more"
    wait_until(lambda: len(waiting.leads) == 3, LIMIT_S, "the last one")


def test_a_leader_that_does_nothing_is_left_alone_and_watched_when_it_does(
    leadership: Leadership[str],
) -> None:
    waiting = Waiting(leadership, 2)
    wait_until(lambda: waiting.leads, LIMIT_S, "a leader")
    threading.Event().wait(20 * PATIENCE_S)
    assert len(waiting.leads) == 1
    waiting.leads[0].begin("something at last")
    wait_until(lambda: len(waiting.leads) == 2, LIMIT_S, "the watcher to have woken")


def test_it_watches_for_so_long(leadership: Leadership[str]) -> None:
    leadership.watch(3 * PATIENCE_S, lambda _: pytest.fail("nobody leads"))
    assert not leadership.has_ended
