"""The lease and the hand-over as a model, played for longer than the tests play it."""

import os
import re
import sys

from chaos.findings import Findings
from devstack.harness.sandbox import Sandbox, tagged
from devstack.processes.child import Child

MODEL = "tests/workers/lease/test_lease_model.py"
LIMIT_S = 300.0
STEPS = re.compile(r"(\d+) steps")


def lease_model(sandbox: Sandbox, findings: Findings) -> None:
    """The real SQL and arithmetic on a clock that is a number: see the model itself."""
    log_path = sandbox.path / "lease-model.log"
    command = (sys.executable, "-m", "pytest", MODEL, "-q", "-s")
    options = ("--hypothesis-profile=thorough", f"--timeout={LIMIT_S:g}")
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    child = Child("lease-model", (*command, *options), tagged(sandbox, environment), log_path)
    sandbox.start_child(child)
    sandbox.wait_until(lambda: child.exit_code() is not None, LIMIT_S)
    steps = [int(number) for number in STEPS.findall(log_path.read_text())]
    findings.note(f"{max(steps, default=0):,} steps played")
    findings.holds("never two holders that both believe", child.exit_code() == 0 and bool(steps))
