"""Who leads: one at a time, and who takes too long is overtaken once."""

import threading
from collections.abc import Iterator

import pytest

from service.api.leadership import Lead, Leadership
from tests.waiting import wait_until

PATIENCE_S = 0.01
LIMIT_S = 10.0


class Waiting:
    """Threads that wait to lead, and do nothing once they do."""

    def __init__(self, leadership: Leadership[str], count: int) -> None:
        self.leads: list[Lead[str]] = []
        self.taken_over: list[str] = []
        self._leadership = leadership
        self.threads = [threading.Thread(target=self._wait) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _wait(self) -> None:
        lead = self._leadership.wait(self.taken_over.append)
        if lead is not None:
            self.leads.append(lead)


@pytest.fixture
def leadership() -> Iterator[Leadership[str]]:
    """Ended at the end, so that nobody waits on."""
    made = Leadership[str](PATIENCE_S)
    yield made
    made.end()


def test_one_leads_and_the_others_wait_for_the_end(leadership: Leadership[str]) -> None:
    waiting = Waiting(leadership, 4)
    wait_until(lambda: waiting.leads, LIMIT_S, "a leader")
    leadership.end()
    for thread in waiting.threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert len(waiting.leads) == 1 + len(waiting.taken_over)
    assert leadership.has_ended()


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
    waiting.leads[2].begin("with nobody to watch")
    assert waiting.leads[2].finish()


def test_a_leader_that_does_nothing_is_left_alone_and_watched_when_it_does(
    leadership: Leadership[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.leadership._LOOK_EVERY_S", 10 * LIMIT_S)
    waiting = Waiting(leadership, 2)
    wait_until(lambda: waiting.leads, LIMIT_S, "a leader")
    assert not leadership.has_ended(20 * PATIENCE_S)
    assert len(waiting.leads) == 1
    waiting.leads[0].begin("something at last")
    wait_until(lambda: len(waiting.leads) == 2, LIMIT_S, "the watcher to have woken")
