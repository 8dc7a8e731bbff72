"""`make run`: Millgate on this machine, with its own PostgreSQL, until Ctrl-C."""

import os
import sys
from pathlib import Path

from devstack.commands import PROJECT
from devstack.environment import data_directory, read_address, write_env_file
from devstack.errors import StackError
from devstack.stack import start_millgate
from devstack.stop_request import StopRequest
from devstack.supervisor import StopAskedError, Supervisor

LOOK_AFTER_INTERVAL_S = 1.0
READY_TEXT = """\
Millgate is ready: {url}

A first factory, and a gateway in it:

  curl {url}/api/factories -H 'Content-Type: application/json' \\
    -d '{{"name": "First factory", "timezone": "Europe/Berlin"}}'

  curl {url}/api/gateways -H 'Content-Type: application/json' \\
    -d '{{"factory_id": "<id of the factory>", "gateway_id": "gw-1", "name": "Hall 1",
         "url": "ws://192.168.1.50:5000", "email": "user@example.com", "password": "secret"}}'

  curl {url}/api/gateways/<id of the gateway>/status

Data and logs: {data_dir}
Ctrl-C stops everything."""


def say(line: str) -> None:
    """Show a person a line; a terminal that went away is no reason to stop."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (open until we end)


def run() -> int:
    """Run until asked to stop; returns the exit code."""
    data_dir = data_directory(os.environ, PROJECT / ".data" / "run")
    env_file = PROJECT / ".env"
    with StopRequest() as stopping:
        try:
            with Supervisor(data_dir, say, stopping) as supervisor:
                address = read_address(os.environ, env_file)
                if write_env_file(env_file):
                    say("Wrote .env with a fresh ENCRYPTION_KEY.")
                start_millgate(supervisor, os.environ, address, say)
                say(READY_TEXT.format(url=address.base_url, data_dir=data_dir))
                while not stopping.wait(LOOK_AFTER_INTERVAL_S):
                    supervisor.look_after()
                say("Stopping …")
        except StopAskedError:
            return 0
        except StackError as error:
            if stopping.requested:
                return 0
            print(error, file=sys.stderr)
            return 1
        except OSError as error:
            print(f"Cannot go on: {error}", file=sys.stderr)
            return 1
    return 0
