"""The systemd units: systemd accepts them and rates them as confined, and they match the code."""

import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devstack.commands import API, WORKER, WORKER_ENVIRONMENT
from devstack.project import PROJECT
from tests.deploy.limits import (
    GATEWAYS,
    MEMORY_FOR_API,
    MEMORY_FOR_GATEWAYS,
    MIB,
    THREADS_FOR_GATEWAYS,
    seconds_to_stop,
)
from tests.support.api_server import ApiServer
from workers.system_limits import gateways_within

LIMIT_S = 60
UNITS = PROJECT / "deploy" / "systemd"
NAMES = ("millgate-api.service", "millgate-migrate.service", "millgate-worker@.service")
MAX_EXPOSURE = 4.0
INSTALLED = "/opt/millgate/.venv/bin/"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is missing: install systemd to check the units",
)


def read(name: str) -> dict[str, list[str]]:
    """Return every key of a unit with its values."""
    values: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if not line.startswith(("#", "[")) and line.strip():
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def environment(name: str) -> dict[str, str]:
    return dict(value.split("=", 1) for value in read(name)["Environment"])


def copy_units(directory: Path) -> None:
    """Copy the units as installed, with existing paths of programs."""
    for path in UNITS.iterdir():
        text = path.read_text().replace(INSTALLED, f"{Path(sys.executable).parent}/")
        (directory / path.name).write_text(text)


def analyze(directory: Path, *arguments: str) -> tuple[int, str]:
    """Return exit code and output."""
    command = ["systemd-analyze", "--no-pager", *arguments]
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


def instance(name: str) -> str:
    return f"./{name.replace('@.', '@9464.')}"


def test_the_expected_units_exist() -> None:
    assert tuple(sorted(path.name for path in UNITS.iterdir())) == NAMES


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_systemd_analyze_reports_no_problem(name: str, tmp_path: Path) -> None:
    copy_units(tmp_path)
    assert analyze(tmp_path, "verify", instance(name)) == (0, "")


@needs_systemd
def test_a_mistake_is_detected(tmp_path: Path) -> None:
    copy_units(tmp_path)
    path = tmp_path / NAMES[0]
    path.write_text(path.read_text().replace("TasksMax=", "TaskMax="))
    _, output = analyze(tmp_path, "verify", f"./{path.name}")
    assert "TaskMax" in output


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_confined(name: str, tmp_path: Path) -> None:
    copy_units(tmp_path)
    code, output = analyze(tmp_path, "security", "--offline=true", f"./{name}")
    assert code == 0, output
    exposure = re.search(r"exposure level for \S+: ([\d.]+) ", output)
    assert exposure, output
    assert float(exposure[1]) < MAX_EXPOSURE


def test_each_unit_runs_the_command_that_make_runs() -> None:
    commands = {
        name: tuple(shlex.split(read(name)["ExecStart"][0].removeprefix(INSTALLED))) for name in NAMES
    }
    migrate = ("python", "-m", "devstack", "migrate")
    assert commands == dict(zip(NAMES, (API, migrate, WORKER), strict=True))


def test_each_part_has_enough_time_to_stop() -> None:
    for part, name in (("api", NAMES[0]), ("worker", NAMES[2])):
        unit = read(name)
        assert float(unit["TimeoutStopSec"][0]) == seconds_to_stop(part)
        # A dead process is always restarted, after any number of failures.
        assert (unit["Restart"], unit["StartLimitIntervalSec"]) == (["always"], ["0"])


def test_a_worker_has_room_for_its_gateways() -> None:
    worker = read(NAMES[2])
    assert int(worker["MemoryMax"][0].removesuffix("G")) * 1024 * MIB >= MEMORY_FOR_GATEWAYS
    assert int(worker["TasksMax"][0]) >= THREADS_FOR_GATEWAYS
    assert gateways_within(int(worker["LimitNOFILE"][0])) >= GATEWAYS
    assert WORKER_ENVIRONMENT.items() <= environment(NAMES[2]).items()
    assert environment(NAMES[2])["METRICS_PORT"] == "%i"
    assert int(read(NAMES[0])["MemoryMax"][0].removesuffix("G")) * 1024 * MIB >= MEMORY_FOR_API


def test_secrets_are_credentials() -> None:
    for name in NAMES:
        credentials = {value.partition(":")[0] for value in read(name)["LoadCredential"]}
        files = {value for key, value in environment(name).items() if key.endswith("_FILE")}
        assert files == {f"%d/{credential}" for credential in credentials}
        assert all(f"{credential.upper()}_FILE" in environment(name) for credential in credentials)


def test_all_units_have_one_sandbox() -> None:
    texts = [(UNITS / name).read_text() for name in NAMES]
    sandboxes = {re.search(r"^DynamicUser=.*?(?=^\[)", text, re.DOTALL | re.MULTILINE) for text in texts}
    assert len({found[0] for found in sandboxes if found}) == 1
    assert None not in sandboxes


def test_the_api_notifies_systemd_after_its_start(database_url: str, tmp_path: Path) -> None:
    assert read(NAMES[0])["Type"] == ["notify"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.settimeout(LIMIT_S)
        address = f"\0millgate-test-{tmp_path.name}-{id(notified)}"
        notified.bind(address)
        with ApiServer(database_url, tmp_path / "api.log", {"NOTIFY_SOCKET": f"@{address[1:]}"}):
            assert notified.recv(1024).startswith(b"READY=1\n")
