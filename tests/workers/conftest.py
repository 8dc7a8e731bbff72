"""A test bed, a site of simulated gateways, and workers that keep them connected."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from simulator import Credentials, Site, SiteSettings
from tests.support.testbed import WorkerTestBed
from tests.support.worker_process import ThreadedWorker, WorkerProcess
from tests.support.worker_settings import EMAIL, PASSWORD

StartSite = Callable[..., Site]
StartWorker = Callable[..., ThreadedWorker]
SpawnWorker = Callable[..., WorkerProcess]


@pytest.fixture
def testbed(database_url: str) -> Iterator[WorkerTestBed]:
    """Yield an empty factory in the test's own database."""
    with WorkerTestBed(database_url) as opened:
        yield opened


@pytest.fixture
def start_site() -> Iterator[StartSite]:
    """Start a number of gateways, each on its own port."""
    with ExitStack() as sites:

        def start(count: int = 1, settings: SiteSettings | None = None, *, prefix: str = "AP-") -> Site:
            names = [f"{prefix}{number}" for number in range(1, count + 1)]
            credentials = Credentials(EMAIL, PASSWORD)
            site = Site.start(names, credentials=credentials, settings=settings, one_port_each=True)
            return sites.enter_context(site)

        yield start


@pytest.fixture
def start_worker(database_url: str) -> Iterator[StartWorker]:
    """Start workers in threads; arguments override the environment's short times."""
    with ExitStack() as workers:

        def start(**changes: str) -> ThreadedWorker:
            worker = ThreadedWorker(database_url, changes)
            workers.callback(worker.stop)
            return worker

        yield start


@pytest.fixture
def spawn_worker(database_url: str, tmp_path: Path) -> Iterator[SpawnWorker]:
    """Start worker processes; arguments override the environment's short times.

    `directory`: of its log. `file_limit`: its limit on open files.
    """
    with ExitStack() as workers:

        def spawn(
            *, file_limit: int | None = None, directory: Path = tmp_path, **changes: str
        ) -> WorkerProcess:
            worker = WorkerProcess(database_url, directory, changes, file_limit)
            workers.callback(worker.kill)
            return worker

        yield spawn
