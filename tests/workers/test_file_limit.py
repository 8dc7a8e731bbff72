"""A worker that runs out of files keeps what it has."""

import resource
from collections.abc import Iterator

import pytest

from tests.waiting import wait_until
from tests.workers.conftest import StartSite, StartWorker
from tests.workers.plant import Plant
from workers.file_limit import raise_file_limit
from workers.gateway_manager.waker import WakerFactory


@pytest.fixture
def low_limit() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard // 2, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("low_limit")
def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    raise_file_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


@pytest.mark.req("ORCH-06")
def test_a_gateway_that_finds_no_room_waits_and_the_others_go_on(
    plant: Plant, start_site: StartSite, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = start_site(2).gateways
    start_worker()
    first_id = plant.add(first.gateway_id, first.url)
    plant.wait_for_state(first_id, "connected")
    refusals = []

    def no_descriptor() -> None:
        refusals.append(1)
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(WakerFactory, "make", lambda _: no_descriptor())
        second_id = plant.add(second.gateway_id, second.url)
        wait_until(lambda: len(refusals) >= 2)
        assert plant.status(first_id).state == "connected"
        assert plant.status(second_id).state == "disconnected"
    plant.wait_for_state(second_id, "connected")
    assert first.logins == 1
