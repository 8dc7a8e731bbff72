"""gunicorn's settings: `gunicorn --config service/gunicorn_conf.py`."""
# ruff: noqa: E402 (patch before other imports, which would keep the blocking functions)

from gevent import monkey  # type: ignore[import-untyped]

monkey.patch_all()

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.api.middleware.metrics import count_clients, record_pool_stats
from service.api.middleware.multiprocess_metrics import make_directory, mark_process_dead, remove_directory
from service.api.server.gunicorn_worker import ApiWorker, JsonLogger, connection_limit
from service.api.server.startup_checks import check_encryption_key, check_port
from service.api.services.context import services_of
from service.config import ApiConfig, is_loopback
from service.crypto import Sealer
from service.env_file import unknown_names
from service.environment import read_environment
from service.errors import ConfigurationError
from service.logs import configure_logging, write_counts

log = logging.getLogger("millgate.api")


def read_config() -> ApiConfig:
    """The settings, all of them checked. Raises ConfigurationError."""
    read = ApiConfig.read(read_environment())
    Sealer(read.encryption_key, read.old_encryption_keys)
    return read


def or_exit(step: Callable[[], Any]) -> Any:
    """What the step returns; where it fails, one line on standard error and exit code 1."""
    try:
        return step()
    except ConfigurationError as error:
        sys.exit(f"Millgate's API cannot start: {error}")


def stop_early(_number: int, _frame: object) -> None:
    """For Ctrl-C before gunicorn has a handler: gevent would show where it was."""
    sys.exit("Millgate's API was stopped before it started.")


signal.signal(signal.SIGINT, stop_early)
api_config: ApiConfig = or_exit(read_config)
configure_logging(api_config.log_level)
# Before the application is made, which counts there.
make_directory()

wsgi_app = "service.app:create_app()"
bind = (
    f"[{api_config.host}]:{api_config.port}"
    if ":" in api_config.host
    else f"{api_config.host}:{api_config.port}"
)
worker_class = ApiWorker
workers = api_config.processes
# With a queue of its own each process gets its share of the connections, which clients keep for long.
reuse_port = sys.platform == "linux"
worker_connections = connection_limit()
preload_app = True
proc_name = "millgate-api"
# All instances of a user would share one.
control_socket_disable = True

logger_class = JsonLogger
loglevel = api_config.log_level
accesslog = None

# Requests end by themselves within the database's time limits (an import's is 30 s), and clients that do not
# go on are hung up on sooner (STOP_CLIENTS_S): what is still running then has hung.
graceful_timeout = 35
keepalive = api_config.keepalive_s
# A C parser would be taken by itself wherever one happens to be installed; it saves 2 of 20 µs.
http_parser = "python"
# RFC 9112, 3: at least 8000.
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 4096
# Whose word counts about the client and the scheme is for ProxyFix to say, by TRUSTED_PROXIES. Here anybody
# may say nothing: gunicorn need not look who it is.
forwarded_allow_ips = "*"
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}


def on_starting(_server: Any) -> None:
    """Before the port is taken and anything is forked."""
    for name in api_config.obsolete:
        log.warning(
            "the setting %s has no effect any more: remove it, see docs/runbook.md#settings-ignored", name
        )
    for old_name, name in api_config.renamed.items():
        log.warning(
            "the setting %s is now called %s: rename it, see docs/runbook.md#settings-ignored", old_name, name
        )
    if unknown := unknown_names(Path(".env")):
        log.warning("%s; correct or remove it, see docs/runbook.md#settings-ignored", unknown)
    or_exit(lambda: check_port(api_config))
    or_exit(lambda: check_encryption_key(api_config, say_waiting))


def say_waiting(reason: str) -> None:
    """The database cannot be used yet."""
    log.warning("%s; check PostgreSQL and DATABASE_URL, see docs/runbook.md#database-away", reason)


def when_ready(server: Any) -> None:
    """Before the first process is forked."""
    # Not before there is a directory. It takes a tenth of a second, in which a process would serve nobody.
    from service.api.openapi.document import document_of  # noqa: PLC0415

    document_of(server.app.wsgi())
    if not api_config.requires_tokens and not is_loopback(api_config.host):
        log.warning(
            "AUTH=off: any client that reaches %s can read and change everything; set AUTH=required, see"
            " docs/runbook.md#no-tokens-required",
            bind,
        )


def post_fork(server: Any, worker: Any) -> None:
    """In the child, which still has its parent's signal handlers: they put into a copy of its queue."""
    worker.inherited_signals = server.SIG_QUEUE


def post_worker_init(worker: Any) -> None:
    """After the fork: processes share neither connections nor threads."""
    services = services_of(worker.app.wsgi())
    services.database.open()
    services.event_feed.start()
    services.heartbeats.start()
    services.change_notifier.start()
    services.token_uses.start()
    worker.on_stop = services.cancel_waits
    worker.on_tick = lambda: count(worker)
    # A stop that came since the fork would be lost, and waited for in vain until `graceful_timeout`.
    while not worker.inherited_signals.empty():
        if worker.inherited_signals.get_nowait() in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            os.kill(os.getpid(), signal.SIGTERM)


def count(worker: Any) -> None:
    """About once a second: what costs too much to count with each request."""
    app = worker.app.wsgi()
    record_pool_stats(app)
    count_clients(app, worker.client_count, worker_connections)
    write_counts()


def worker_exit(_server: Any, worker: Any) -> None:
    """The last act of a process that served."""
    services = services_of(worker.app.wsgi())
    services.event_feed.stop(timeout_s=2)
    services.heartbeats.stop(timeout_s=1)
    services.change_notifier.stop(timeout_s=2)
    services.token_uses.stop(timeout_s=1)
    services.database.close()


def child_exit(_server: Any, worker: Any) -> None:
    """A process has ended, for whatever reason."""
    mark_process_dead(worker.pid)


def on_exit(_server: Any) -> None:
    """The last act of the process that forks the others."""
    remove_directory()
