"""Every warning and error in the code names what to do, in the runbook, which lists them all."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from devstack.project import PROJECT

RUNBOOK = PROJECT / "docs" / "runbook.md"
LEVELS = {"warning", "error", "exception", "critical"}
LINK = re.compile(r"docs/runbook\.md#([a-z-]+)")
PLACE = re.compile(r"%[-+.\d]*[a-z]")
# What it writes are the words of its owners.
PASSED_ON = {"service/ongoing_failure.py"}
# On the standard library alone, without `logging`.
WATCHDOG = "workers/gateway_manager/lease/watchdog_process.py"


@cache
def messages() -> dict[str, str]:
    """Every message at level warning or above, by where it is; values are shown as an ellipsis."""
    found: dict[str, str] = {}
    for package in ("service", "workers"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            name = str(path.relative_to(PROJECT))
            tree = ast.parse(path.read_text())
            constants = constants_of(tree)
            if name not in PASSED_ON:
                for text in calls_that_log(tree):
                    found[f"{name}:{text.lineno}"] = PLACE.sub("…", text_of(text, constants))
    watchdog = ast.parse((PROJECT / WATCHDOG).read_text())
    for node in ast.walk(watchdog):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "message":
            found[f"{WATCHDOG}:{node.lineno}"] = str(ast.literal_eval(node.value))
    return found


def constants_of(tree: ast.Module) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def calls_that_log(tree: ast.Module) -> Iterator[ast.expr]:
    """The messages of `log.warning` and the like, and of failures that last."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            if ast.unparse(node.func.value) in {"log", "self._log"}:
                yield node.args[0]
        elif ast.unparse(node.func) in {"OngoingFailure", "_Outage"}:
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "begins")


def text_of(node: ast.expr, constants: dict[str, ast.expr]) -> str:
    value = constants[node.id] if isinstance(node, ast.Name) else node
    return str(ast.literal_eval(value))


def headings() -> set[str]:
    lines = RUNBOOK.read_text().splitlines()
    return {line[3:].lower().replace(" ", "-") for line in lines if line.startswith("## ")}


def listed() -> list[tuple[str, str]]:
    """What the log says, and the section that the row leads to."""
    section = RUNBOOK.read_text().partition("## What the log says")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return [
        (words, found[1])
        for row in rows
        for words in re.findall(r"`([^`]+)`", row[0])
        if (found := re.search(r"\(#([a-z-]+)\)", row[-1]))
    ]


@pytest.mark.req("QUAL-05")
def test_every_warning_and_error_names_what_to_do() -> None:
    assert len(messages()) >= 40
    for place, message in messages().items():
        links = LINK.findall(message)
        assert len(links) == 1, f"{place}: {message}"
        assert links[0] in headings(), f"{place}: no section {links[0]}"


@pytest.mark.req("QUAL-05")
def test_the_runbook_lists_every_warning_and_error_and_no_other() -> None:
    told = messages()
    for place, message in told.items():
        sections = {section for words, section in listed() if words in message}
        assert sections == set(LINK.findall(message)), f"{place}: {message}"
    for words, _ in listed():
        assert any(words in message for message in told.values()), words
