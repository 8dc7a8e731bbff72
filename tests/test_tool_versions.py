"""Tools outside the locked environment have its versions; the workflow runs the promised Pythons."""

import re

import pytest

from devstack.checks.wheels import PYTHONS, read_pins
from devstack.project import PROJECT

WORKFLOW = PROJECT / ".github" / "workflows" / "ci.yml"
HOOKS = PROJECT / ".pre-commit-config.yaml"
LOCK_FILE = PROJECT / "requirements-dev.txt"


@pytest.mark.parametrize("package", ["ruff", "squawk-cli"])
def test_commit_hooks_have_the_locked_versions(package: str) -> None:
    locked = {str(pin.specifier) for pin in read_pins(LOCK_FILE.read_text()) if pin.name == package}
    hooks = set(re.findall(rf"additional_dependencies: \[{package}(==[^]]+)\]", HOOKS.read_text()))
    assert hooks == locked
    assert len(locked) == 1


def test_the_workflow_runs_every_promised_python() -> None:
    found = re.search(r"python: \[(.*)\]", WORKFLOW.read_text())
    assert found
    assert found[1] == ", ".join(f'"{major}.{minor}"' for major, minor in PYTHONS)
    assert "run: bash .ci/run" in WORKFLOW.read_text()


def test_the_workflow_pins_actions_by_commit() -> None:
    used = re.findall(r"uses: (.*)", WORKFLOW.read_text())
    assert used
    assert [
        action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    ] == []
