"""`python -m simulator` as a process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from devstack.project import PROJECT
from tests.simulator.client import Client

END_S = 10
PASSWORD = "canary"


@contextmanager
def _simulator(*words: str, password: str = PASSWORD) -> Iterator[subprocess.Popen[str]]:
    environment = {"PATH": os.environ["PATH"], "SIMULATOR_PASSWORD": password}
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--notify-every-s", "0", *words],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _read(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def _ask(process: subprocess.Popen[str], line: str) -> Any:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return _read(process)


def test_commands_until_the_end_of_input() -> None:
    with _simulator("--gateways", "2") as process:
        ready = _read(process)
        assert ready["event"] == "ready"
        assert [each["gateway_id"] for each in ready["gateways"]] == ["AP-0001", "AP-0002"]
        client = Client(ready["gateways"][1]["url"])
        assert client.log_in(password="canary")["Data"]["Success"] is True
        assert _ask(process, '{"freeze": "AP-0002"}')["ok"] is True
        assert _ask(process, '{"thaw": "AP-0002"}')["ok"] is True
        assert _ask(process, '{"status": "AP-0002"}')["open_sessions"] == 1
        assert _ask(process, '{"drop": "AP-0002", "how": "rst"}') == {"ok": True, "drop": "AP-0002", "cut": 1}
        with pytest.raises(ConnectionResetError):
            client.socket.recv()
        client.socket.shutdown()
        assert _ask(process, '{"fault": "AP-0001", "kind": "reject_upgrade", "status": 503}')["ok"] is True
        output, errors = process.communicate(timeout=END_S)
        assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"reboot": "AP-0001"}', "no command"),
        ('{"drop": "AP-0007"}', "no gateway 'AP-0007'"),
        ('{"drop": "AP-0001", "how": "axe"}', "how must be"),
        ('{"drop": "AP-0001", "hoe": "rst"}', "unknown: hoe"),
        ('{"fault": "AP-0001", "kind": "no_pings"}', "no fault 'no_pings'"),
        ('{"fault": "AP-0001", "kind": "flood", "messages_per_s": "many"}', "wrong type"),
        ('{"freeze": 1}', "named by a string"),
    ],
)
def test_bad_commands_get_an_answer(shared: subprocess.Popen[str], line: str, error: str) -> None:
    answer = _ask(shared, line)
    assert answer["ok"] is False
    assert error in answer["error"]


@pytest.fixture(scope="module")
def shared() -> Iterator[subprocess.Popen[str]]:
    with _simulator() as process:
        assert _read(process)["event"] == "ready"
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(number: signal.Signals) -> None:
    with _simulator() as process:
        _read(process)
        process.send_signal(number)
        assert process.wait(END_S) == 0


@pytest.mark.parametrize(
    ("words", "password", "error"),
    [
        ((), "", "no password"),
        (("--gateways", "0"), "canary", "--gateways"),
        (("--host", "::g"), "canary", ""),
    ],
)
def test_a_failed_start_prints_one_line(words: tuple[str, ...], password: str, error: str) -> None:
    with _simulator(*words, password=password) as process:
        _, errors = process.communicate(timeout=END_S)
        assert process.returncode == 2
        assert errors.startswith("simulator: ")
        assert error in errors
        assert (errors.count("\n"), "canary" in errors) == (1, False)
