"""`python -m workers`: runs one worker until SIGTERM or SIGINT."""

import logging
import sys
import threading
from pathlib import Path

from service.env_file import unknown_names
from service.environment import read_environment
from service.errors import ConfigurationError, DatabaseError
from service.file_limit import raise_file_limit
from service.logs import configure_logging
from service.threads import NoThreadError
from workers.config import WorkerConfig
from workers.gateway_manager.lease.watchdog import Watchdog
from workers.interpreter import set_up_interpreter
from workers.stop_signals import stop_signals
from workers.worker import Worker

log = logging.getLogger("millgate.worker")


def main() -> int:
    """Run the worker; returns the exit status of the process."""
    try:
        config = WorkerConfig.read(read_environment())
        configure_logging(config.log_level)
        if unknown := unknown_names(Path(".env")):
            log.warning("%s; correct or remove it, see docs/runbook.md#settings-ignored", unknown)
        set_up_interpreter()
        raise_file_limit()
        # Half of the margin is for closing sockets, half for the watchdog.
        with Watchdog(config.lease.margin_s / 2) as watchdog:
            worker = Worker(config, watchdog.set_deadline)
            threading.excepthook = worker.report_crash
            with stop_signals(worker.request_stop):
                worker.run()
    except (ConfigurationError, DatabaseError, NoThreadError, OSError) as error:
        print(f"millgate worker: {error}", file=sys.stderr)
        return 1
    return 1 if worker.has_crashed else 0


if __name__ == "__main__":
    sys.exit(main())
