"""The printed table and the exit status."""

import subprocess
import sys

import pytest

from chaos.__main__ import run
from chaos.catalogue import SCENARIOS, Scenario
from chaos.findings import Findings, Outcome, SkippedError, Verdict, exit_status
from chaos.table import histogram, per_second, table
from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox
from devstack.harness.selection import choose
from devstack.project import PROJECT


def keep(_household: Sandbox, findings: Findings) -> None:
    findings.within("told after", 0.5, 1)
    findings.holds("nothing lost", True)


def break_promise(_household: Sandbox, findings: Findings) -> None:
    findings.within("told after", 1.5, 1)
    findings.within("back after", None, 2)


def skip(_household: Sandbox, _findings: Findings) -> None:
    raise SkippedError("no such thing here")


def crash(_household: Sandbox, _findings: Findings) -> None:
    raise StackError("it did not start")


def rows(**measures: object) -> list[Scenario]:
    return [Scenario(name, f"fault {name}", "a promise", measure, 1) for name, measure in measures.items()]  # type: ignore[arg-type]


def test_kept_and_skipped_rows_are_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", rows(good=keep, other=skip)) == 0
    shown = capsys.readouterr().out
    assert "told after 0.50 s (≤ 1 s)" in shown
    assert "skipped: no such thing here" in shown
    assert shown.index("[good]") < shown.index("[other]")


@pytest.mark.parametrize("measure", [break_promise, crash])
def test_a_row_that_failed_is_a_failure(measure: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", rows(good=keep, bad=measure)) == 1
    shown = capsys.readouterr().out
    assert "kept" in shown
    assert "FAILED" in shown
    if measure is break_promise:
        assert "✗ told after 1.50 s (≤ 1 s)" in shown
        assert "✗ back after not at all (≤ 2 s)" in shown
    else:
        assert "StackError: it did not start" in shown


def test_only_selected_rows_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("good", rows(good=keep, bad=break_promise)) == 0
    assert "bad" not in capsys.readouterr().out
    assert run("worse", rows(good=keep)) == 1
    assert "there are: good" in capsys.readouterr().err
    assert [scenario.name for scenario in choose("worker-kill, gateway-cut", SCENARIOS)] == [
        "gateway-cut",
        "worker-kill",
    ]


@pytest.mark.parametrize("word", ["list", "help"])
def test_the_names_are_listed(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(word) == 0
    shown = capsys.readouterr().out
    assert all(scenario.name in shown for scenario in SCENARIOS)
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


def test_the_makefile_passes_names_on() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "chaos", "ONLY=worker-kill,clock"]
    printed = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert "-m chaos --only 'worker-kill,clock'" in printed


def test_a_table_wraps_without_losing_words() -> None:
    outcome = Outcome("name", "a fault", "one; two", "first measured; then more", Verdict.KEPT)
    lines = table([outcome]).splitlines()
    assert {line.count(" |") for line in lines if "-+-" not in line} == {3}
    assert any(line.startswith("a fault [name]") and "first measured" in line for line in lines)
    assert any("two" in line and "then more" in line for line in lines)
    assert exit_status([outcome]) == 0


def test_bars_are_as_long_as_their_share() -> None:
    moments = [0.1, 0.9, 2.5, 2.6, 2.7, 2.8]
    assert per_second(moments) == [2, 0, 4]
    lines = histogram("title", moments).splitlines()
    assert lines[0] == "title"
    assert [line.count("█") for line in lines[1:]] == [30, 0, 60]
    assert histogram("title", []) == ""


def test_a_wrong_clock_is_wrong_for_everything_but_durations() -> None:
    script = (
        "import time, datetime as d; now = d.datetime.now(d.UTC);"
        "print(time.time(), time.time_ns() / 1e9, time.clock_gettime(time.CLOCK_REALTIME), now.timestamp(),"
        "time.monotonic(), isinstance(now, d.datetime))"
    )
    command = [sys.executable, "-c", script]
    folder = str(PROJECT / "chaos" / "wrong_clock")

    def run_with(error_s: str) -> list[float]:
        environment = {"PYTHONPATH": folder, "CLOCK_ERROR_S": error_s}
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=20, check=True
        )
        *times, is_instance = result.stdout.split()
        assert is_instance == "True"
        return [float(time) for time in times]

    right, wrong = run_with("0"), run_with("3600")
    assert [round((after - before) / 60) for before, after in zip(right, wrong, strict=True)] == [60] * 4 + [
        0
    ]
