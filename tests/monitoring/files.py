"""The files in deploy/monitoring, and the metrics of their expressions."""

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from devstack.project import PROJECT

DIRECTORY = PROJECT / "deploy" / "monitoring"
RULES = DIRECTORY / "millgate-rules.yml"
RULE_TESTS = PROJECT / "tests" / "monitoring" / "rules-test.yml"
DASHBOARD = DIRECTORY / "grafana-dashboard.json"
needs_prometheus = pytest.mark.skipif(
    None in (shutil.which("promtool"), shutil.which("prometheus")),
    reason="needs Debian's package prometheus",
)
_WORDS = frozenset({"and", "or", "unless", "by", "without", "on", "ignoring", "offset"})


def load_yaml(path: Any) -> dict[str, Any]:
    """Load a YAML file."""
    document: dict[str, Any] = YAML(typ="safe").load(path)
    return document


def alerts() -> list[dict[str, Any]]:
    """Return every alert as written."""
    return [rule for group in load_yaml(RULES)["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels without row headings."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def targets() -> Iterator[tuple[str, str, str]]:
    """Return each dashboard query's panel, its expression for Prometheus, and its legend."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m"), target["legendFormat"]


def metrics_in(expression: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return every metric of an expression with its label matchers: label, operator, value."""
    expression = re.sub(r"\[[^\]\"]*\](?![^{]*\})|\boffset \w+", "", expression)
    expression = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", "", expression)
    found = re.findall(r"(?<![\w.$])([a-zA-Z_]\w*)\b(?!\s*\()(?:\{([^}]*)\})?", expression)
    return [
        (name, re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers))
        for name, matchers in found
        if name not in _WORDS
    ]


def groupings_in(expression: str) -> set[str]:
    """Return every label by which an expression groups or joins."""
    lists = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression)
    return {label for each in lists for label in re.findall(r"\w+", each)}
