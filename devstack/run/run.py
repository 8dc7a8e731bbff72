"""`make run`: Millgate on this machine, with its own PostgreSQL, until Ctrl-C."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack.advice import advice
from devstack.errors import StackError, StopAskedError
from devstack.processes.signals import StopRequest
from devstack.processes.supervisor import Supervisor
from devstack.project import PROJECT
from devstack.run.environment import (
    check_address_is_free,
    check_metrics_ports,
    data_directory,
    read_address,
    write_env_file,
)
from devstack.run.settings import settings_of
from devstack.run.stack import asks_for_tokens, start_millgate, worker_names
from devstack.terminal import say
from service.env_file import unknown_names

LOOK_AFTER_INTERVAL_S = 1.0
HOW_TO_GET_IN = """\
The API asks for tokens. A first one, from another terminal, shown once:

  make token NAME=first SCOPE=write

Log in with it at {page_url}, and add to each curl:  -H "Authorization: Bearer <token>"
"""
HELD_TEXT = """\
Millgate runs on {url}, but its database is held: it is a restored copy, so no worker uses it.
Once no worker uses the original, from another terminal:

  make take-over

Data and logs: {data_dir}
Ctrl-C stops everything."""
READY_TEXT = """\
Millgate is ready: {url}

Open {page_url} in a browser, or use the API. A first factory, and a gateway in it:

  curl {url}/api/factories -H 'Content-Type: application/json' \\
    -d '{{"name": "First factory", "timezone": "Europe/Berlin"}}'

  curl {url}/api/gateways -H 'Content-Type: application/json' \\
    -d '{{"factory_id": "<id of the factory>", "gateway_id": "gw-1", "name": "Hall 1",
         "url": "ws://192.168.1.50:5000", "email": "user@example.com", "password": "secret"}}'

  curl {url}/api/gateways/<id of the gateway>/status

Data and logs: {data_dir}
Ctrl-C stops everything."""


def supervised(data_dir: Path, body: Callable[[Supervisor, StopRequest], int]) -> int:
    """Run `body` under a supervisor of this directory; return its exit code, or 1 after printing why."""
    with StopRequest() as stopping:
        try:
            with Supervisor(data_dir, say, stopping) as supervisor:
                return body(supervisor, stopping)
        except StopAskedError:
            return 0
        except StackError as error:
            if stopping.requested:
                return 0
            print(error, file=sys.stderr)
        except OSError as error:
            print(advice(error, data_dir), file=sys.stderr)
    return 1


def run() -> int:
    """Run until a stop is requested; return the exit code."""
    try:
        settings = settings_of(os.environ)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    data_dir = data_directory(settings, PROJECT / ".data" / "run")
    return supervised(data_dir, lambda supervisor, stopping: run_millgate(supervisor, stopping, settings))


def check_key_is_there(settings: Mapping[str, str]) -> None:
    """Raises StackError before anything starts: a new key could not decrypt what an older one encrypted."""
    if not (settings.get("ENCRYPTION_KEY") or settings.get("ENCRYPTION_KEY_FILE")):
        raise StackError(
            "ENCRYPTION_KEY is empty or missing in .env: write the key there that you had before. "
            "For a first one: head -c 32 /dev/urandom | base64"
        )


def run_millgate(supervisor: Supervisor, stopping: StopRequest, settings: Mapping[str, str]) -> int:
    """Start all processes and keep them running until a stop is requested."""
    address = read_address(settings)
    check_metrics_ports(settings, address, len(worker_names(settings)))
    check_address_is_free(address)
    if write_env_file(PROJECT / ".env"):
        say("Wrote .env with a fresh ENCRYPTION_KEY.")
    else:
        check_key_is_there(settings)
    if settings.get("DATABASE_URL") or settings.get("DATABASE_URL_FILE"):
        say("`make run` uses its own PostgreSQL: DATABASE_URL is ignored.")
    if unknown := unknown_names(PROJECT / ".env"):
        say(f"{unknown}.")
    is_held = start_millgate(supervisor, os.environ, settings, address)
    if asks_for_tokens(address):
        say(HOW_TO_GET_IN.format(page_url=address.page_url))
    text = HELD_TEXT if is_held else READY_TEXT
    say(text.format(url=address.base_url, page_url=address.page_url, data_dir=supervisor.data_dir))
    while not stopping.wait(LOOK_AFTER_INTERVAL_S):
        supervisor.tick()
    say("Stopping …")
    return 0
