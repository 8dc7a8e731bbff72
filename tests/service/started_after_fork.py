"""Creates the API or a worker, forks, and starts it in the child: `python -m … api|worker`.

Exit status 0 if everything could be started. Every Python behaves here as 3.13.0 to 3.13.3 do: a `Thread`
created before the fork cannot be started after it.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from service.api.services.context import services_of
from service.app import create_app
from service.config import ApiConfig
from service.environment import Environment
from tests.support.waiting import wait_until
from workers.config import WorkerConfig
from workers.worker import Worker

BY_NAME = Environment(os.environ)


def main(part: str) -> int:
    """Return the child's exit status."""
    refuse_threads_from_before_a_fork()
    start = {"api": prepare_api, "worker": prepare_worker}[part]()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            start()
            status = 0
        except BaseException as error:  # noqa: BLE001  (the parent goes on with the status alone)
            print(repr(error), file=sys.stderr, flush=True)
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def refuse_threads_from_before_a_fork() -> None:
    """Refuse them on every version, as the faulty versions do."""
    make, start = threading.Thread.__init__, threading.Thread.start

    def make_here(thread: threading.Thread, *arguments: Any, **named: Any) -> None:
        make(thread, *arguments, **named)
        thread.made_in = os.getpid()  # type: ignore[attr-defined]

    def start_here(thread: threading.Thread) -> None:
        if getattr(thread, "made_in", os.getpid()) != os.getpid():
            raise RuntimeError("thread already started")
        start(thread)

    threading.Thread.__init__ = make_here  # type: ignore[method-assign,assignment]
    threading.Thread.start = start_here  # type: ignore[method-assign,assignment]


def prepare_api() -> Callable[[], None]:
    """Prepare what gunicorn's children do with their parent's application."""
    services = services_of(create_app(ApiConfig.read(BY_NAME)))

    def start() -> None:
        services.database.open()
        services.event_feed.start()
        services.change_notifier.start()
        services.change_notifier.notify()
        services.change_notifier.stop(timeout_s=5)
        services.event_feed.stop(timeout_s=5)
        services.database.close()

    return start


def prepare_worker() -> Callable[[], None]:
    """Prepare a worker with all optional parts, to run until it holds its lease."""
    worker = Worker(WorkerConfig.read(BY_NAME))

    def start() -> None:
        running = threading.Thread(target=worker.run, daemon=True)
        running.start()
        wait_until(lambda: worker._lease.worker is not None or not running.is_alive(), 20, "the lease")
        assert running.is_alive()
        worker.request_stop()
        running.join(20)
        assert not running.is_alive()

    return start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
