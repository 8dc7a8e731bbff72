"""The alerts are valid, individually tested, and each has a section of the runbook."""

import re
import subprocess
from pathlib import Path

import pytest

from devstack.project import PROJECT
from tests.monitoring.files import (
    DIRECTORY,
    RULE_TESTS,
    RULES,
    alerts,
    load_yaml,
    metrics_in,
    needs_prometheus,
    targets,
)
from tests.test_log_words import LINK, messages

RUNBOOK = "docs/runbook.md"


def promtool(*arguments: str | Path) -> None:
    """Run promtool in the directory of the rules; assert success."""
    result = subprocess.run(
        ["promtool", *arguments], cwd=DIRECTORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@needs_prometheus
def test_the_rules_are_valid() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


@needs_prometheus
def test_the_example_configuration_is_valid() -> None:
    promtool("check", "config", "--syntax-only", DIRECTORY / "prometheus.yml")


@needs_prometheus
def test_each_alert_fires_exactly_when_it_should() -> None:
    promtool("test", "rules", RULE_TESTS)


@needs_prometheus
def test_the_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": expr} for number, (_, expr, _) in enumerate(targets())]
    file = tmp_path / "queries.yml"
    # JSON is YAML.
    file.write_text(str({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_has_a_firing_and_a_silent_case(alert: dict[str, str]) -> None:
    cases = [case for test in load_yaml(RULE_TESTS)["tests"] for case in test["alert_rule_test"]]
    expected = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert["alert"]]
    assert set(expected) == {True, False}


def runbook_sections() -> dict[str, str]:
    """Return the sections by their Markdown anchors."""
    parts = re.split(r"^## (.+)$", (PROJECT / RUNBOOK).read_text(), flags=re.MULTILINE)
    return {
        heading.lower().replace(" ", "-"): body
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_has_a_severity_and_a_runbook_link(
    alert: dict[str, dict[str, str]],
) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"]
    file, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert file == RUNBOOK
    section = runbook_sections()[anchor]
    assert re.findall(r"^\*\*(.+?)\.\*\*", section, re.MULTILINE) == ["Means", "Look at", "Do"]


def test_each_section_of_the_runbook_has_an_alert_or_a_log_line_and_each_link_a_section() -> None:
    anchors = {alert["annotations"]["runbook_url"].partition("#")[2] for alert in alerts()}
    from_the_log = {anchor for message in messages().values() for anchor in LINK.findall(message)}
    sections = set(runbook_sections())
    assert anchors | from_the_log | {"what-the-log-says"} == sections
    assert set(re.findall(r"\]\(#([\w-]+)\)", (PROJECT / RUNBOOK).read_text())) <= sections


def test_metrics_of_an_expression_are_extracted() -> None:
    expression = (
        'sum by (le) (rate(a_total{x="1", y!~"[^ab]"}[5m] offset 1h)) / on () b > 2e3 and c unless absent(d)'
    )
    assert metrics_in(expression) == [
        ("a_total", [("x", "=", "1"), ("y", "!~", "[^ab]")]),
        ("b", []),
        ("c", []),
        ("d", []),
    ]
