"""`make demo`: three simulated gateways, registered over HTTP, disconnected and reconnected."""

import json
import os
import secrets
import shutil
import socket
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from devstack.commands import local
from devstack.errors import StackError
from devstack.processes.child import Child
from devstack.processes.signals import StopRequest
from devstack.processes.supervisor import Supervisor
from devstack.project import PROJECT
from devstack.run.demo_client import DemoClient
from devstack.run.demo_table import DemoView, LinesView, TableView
from devstack.run.environment import DEFAULT_HOST, Address, new_encryption_key, read_address, with_secret
from devstack.run.run import supervised
from devstack.run.stack import start_millgate
from devstack.terminal import say
from service.config import is_loopback

GATEWAYS = 3
EMAIL = "demo@example.com"
SECONDS_WITHOUT_TERMINAL = 20.0
CONNECT_LIMIT_S = 15.0
CALM_S = 2.0
OUTAGE_S = 3.0
LOOK_INTERVAL_S = 0.1


def demo() -> int:
    """Run until Ctrl-C, or for DEMO_SECONDS; return 0 if all gateways were connected at the end."""
    data_dir = Path(os.environ.get("MILLGATE_DEMO_DIR") or PROJECT / ".data" / "demo").absolute()
    return supervised(data_dir, run_demo)


def run_demo(supervisor: Supervisor, stopping: StopRequest) -> int:
    """Run the whole demo. Raises StackError."""
    seconds = duration_s()
    # Each demo starts from nothing, in a directory used by the demo alone.
    shutil.rmtree(supervisor.data_dir / "postgres", ignore_errors=True)
    password = secrets.token_urlsafe(12)
    simulator = start_simulator(supervisor, password)
    address = free_address()
    # No token is needed: only this machine reaches the API.
    environment = {**with_secret(os.environ, "ENCRYPTION_KEY", new_encryption_key()), "AUTH": "off"}
    start_millgate(supervisor, environment, os.environ, address)
    say(f"Registering a factory and {GATEWAYS} gateways at {address.base_url} …")
    client = DemoClient(address)
    names = client.register(simulator.gateways, EMAIL, password)
    say(f"{address.page_url} shows the gateways in a browser.")
    view: DemoView = LinesView() if seconds is not None else TableView(address.page_url)
    show = DemoRun(supervisor, stopping, simulator, client, names, view)
    return show.run(None if seconds is None else time.monotonic() + seconds)


def duration_s() -> float | None:
    """Return how long to run: DEMO_SECONDS; without a terminal a fixed time; else (None) until Ctrl-C."""
    text = os.environ.get("DEMO_SECONDS", "")
    if not text:
        return None if sys.stdout.isatty() else SECONDS_WITHOUT_TERMINAL
    try:
        return max(1.0, float(text))
    except ValueError:
        raise StackError("DEMO_SECONDS must be a number of seconds.") from None


def free_address() -> Address:
    """Return PORT if it is set; else 3000, or any free port when that is taken. Raises StackError."""
    address = read_address(os.environ)
    if not is_loopback(address.host):
        raise StackError("The demo works without tokens, so HOST has to be a loopback address.")
    if os.environ.get("PORT"):
        return address
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((DEFAULT_HOST, address.port))
        except OSError:
            probe.bind((DEFAULT_HOST, 0))
        return Address(DEFAULT_HOST, probe.getsockname()[1])


@dataclass
class Simulator:
    """The simulator's process, and its gateways (their ids and URLs)."""

    child: Child
    gateways: dict[str, str]

    def send(self, command: dict[str, object]) -> None:
        """Send a command. Raises StackError if the process has ended."""
        process = self.child.process
        if process is None or process.stdin is None or process.stdout is None:
            raise StackError("The simulator is not running.")
        try:
            process.stdin.write(json.dumps(command).encode() + b"\n")
            process.stdin.flush()
            process.stdout.readline()
        except OSError:
            raise StackError("The simulator has ended.") from None


def start_simulator(supervisor: Supervisor, password: str) -> Simulator:
    """Start three gateways on loopback, each with sensors that report every two seconds."""
    say(f"Starting a simulator with {GATEWAYS} gateways …")
    command = ("python", "-m", "simulator", "--gateways", str(GATEWAYS), "--email", EMAIL)
    environment = {**os.environ, "SIMULATOR_PASSWORD": password, "PYTHONUNBUFFERED": "1"}
    child = supervisor.child(
        "simulator", local((*command, "--notify-every-s", "2")), environment, pipe_stdio=True
    )
    supervisor.start(child)
    if child.process is None or child.process.stdout is None:
        raise StackError("The simulator did not start.")
    ready_line = child.process.stdout.readline()
    try:
        gateways = {each["gateway_id"]: each["url"] for each in json.loads(ready_line)["gateways"]}
    except (ValueError, KeyError, TypeError):
        raise StackError(f"The simulator did not start. Its log: {child.log_path}") from None
    return Simulator(child, gateways)


@dataclass
class DemoRun:
    """The demo's script: connect all, cut one, let it come back, go on."""

    supervisor: Supervisor
    stopping: StopRequest
    simulator: Simulator
    client: DemoClient
    names: dict[str, str]
    view: DemoView

    def run(self, end_at: float | None) -> int:
        """Return 0 if all gateways were connected at the end."""
        if not self._watch_until_all_connected(time.monotonic() + CONNECT_LIMIT_S):
            say("Not all gateways were connected in time.")
            return 0 if self.stopping.requested else 1
        self.view.note("All are connected.")
        self._watch(time.monotonic() + CALM_S)
        self._cut_one()
        while not self.stopping.requested and (end_at is None or time.monotonic() < end_at):
            self._watch(time.monotonic() + 1.0)
        all_connected = self._all_connected()
        say("Stopping …")
        return 0 if all_connected else 1

    def _cut_one(self) -> None:
        victim = list(self.simulator.gateways)[1]
        self.view.note(f"Cutting the connection of {victim}; it refuses for {OUTAGE_S:.0f} s …")
        self.simulator.send({"fault": victim, "kind": "reject_upgrade", "status": 503})
        self.simulator.send({"drop": victim, "how": "rst"})
        self._watch(time.monotonic() + OUTAGE_S)
        self.simulator.send({"fault": victim, "kind": None})
        self.view.note(f"{victim} is back; Millgate reconnects by itself.")
        if self._watch_until_all_connected(time.monotonic() + CONNECT_LIMIT_S):
            self.view.note("All are connected again.")

    def _watch_until_all_connected(self, deadline: float) -> bool:
        while time.monotonic() < deadline and not self.stopping.requested:
            self._watch(time.monotonic() + LOOK_INTERVAL_S)
            if self._all_connected():
                return True
        return False

    def _watch(self, until: float) -> None:
        while not self.stopping.wait(LOOK_INTERVAL_S):
            self.supervisor.tick()
            self.view.show(self.client.statuses(self.names))
            if time.monotonic() >= until:
                return

    def _all_connected(self) -> bool:
        return all(status["state"] == "connected" for status in self.client.statuses(self.names).values())
