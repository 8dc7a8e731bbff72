"""A row against the real parts, and what remains when it is stopped."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.__main__ import run_scenario
from chaos.catalogue import Scenario
from chaos.findings import Findings, Verdict
from chaos.scenarios import fleets, gateways
from chaos.scenarios.fleets import worker_kill_5000, worker_term_5000
from chaos.scenarios.gateways import gateway_cut
from chaos.testbed import ChaosTestBed
from devstack.harness.sandbox import Sandbox
from devstack.processes.orphans import owned_processes
from devstack.project import PROJECT
from tests.support.waiting import wait_until

LIMIT_S = 60


def test_a_row_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "DOWN_S", 0.2)
    lines: list[str] = []
    row = Scenario("gateway-cut", "a cut", "a promise", gateway_cut, 1)
    with Sandbox(tmp_path / "chaos-test", lines.append) as sandbox:
        outcome = run_scenario(row, sandbox)
        # Killed processes end asynchronously.
        wait_until(lambda: not list(owned_processes(sandbox.owner_tag)), what="the end of all processes")
        assert sandbox.path.exists()
    assert outcome.measured.count("said after") == 3
    # `make chaos` checks the times: this machine may be busy with other tests.
    assert "not at all" not in outcome.measured, outcome.measured
    assert "could not" not in outcome.measured, outcome.measured
    assert "the other gateway undisturbed" in outcome.measured
    assert lines[0] == "gateway-cut: begins"
    assert lines[-1].startswith("gateway-cut: ")
    assert not (tmp_path / "chaos-test").exists()
    assert not list(owned_processes(str(tmp_path / "chaos-test")))


def test_a_broken_promise_is_detected(tmp_path: Path) -> None:
    def measure(sandbox: Sandbox, findings: Findings) -> None:
        with ChaosTestBed(sandbox, "false") as testbed:
            site = testbed.start_site(1)
            testbed.register({"AP-0001": site.url("AP-0001")})
            # No worker runs that could connect it.
            findings.within("connected", testbed.wait_for(["AP-0001"], _is_connected, 0.2), 0.1)
            findings.holds("no worker", testbed.status("AP-0001")["reason"]["code"] == "no_worker")

    with Sandbox(tmp_path / "chaos-test", lambda _text: None) as sandbox:
        outcome = run_scenario(Scenario("false", "none", "connected", measure, 1), sandbox)
    assert outcome.verdict is Verdict.FAILED
    assert outcome.measured == "✗ connected not at all (≤ 0.1 s); no worker"


def _is_connected(status: dict[str, object]) -> bool:
    return status["state"] == "connected"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "chaos", "--only", "half-open"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        directory = PROJECT / ".data" / f"chaos-{process.pid}"
        try:
            for line in process.stdout:
                if "goes dark" in line:
                    break
            assert directory.exists()
            assert list(owned_processes(str(directory)))
            process.send_signal(number)
            assert process.wait(LIMIT_S) == 130
        finally:
            process.kill()
    assert not directory.exists()
    assert not list(owned_processes(str(directory)))


@pytest.mark.parametrize("measure", [worker_term_5000, worker_kill_5000])
def test_a_worker_with_many_gateways_hands_them_over(
    measure: Callable[[Sandbox, Findings], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the rows for 5,000 gateways with a few hundred; `make chaos` checks the times."""
    monkeypatch.setattr(fleets, "GATEWAYS", 300)
    with Sandbox(tmp_path / "chaos-test", lambda _text: None) as sandbox:
        outcome = run_scenario(Scenario("many", "a worker's end", "taken over", measure, 1), sandbox)
    assert "not at all" not in outcome.measured, outcome.measured
    assert "could not" not in outcome.measured, outcome.measured
    assert "at most 1 session a gateway" in outcome.measured
    assert "300 sessions in the end" in outcome.measured
