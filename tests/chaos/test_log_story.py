"""Whether the logs of a scenario tell its story: what is there, in order, and what to do about it."""

import json

import pytest

from chaos.__main__ import judge_logs
from chaos.catalogue import SCENARIOS, Scenario
from chaos.findings import Findings
from chaos.log_story import MAX_WARNINGS, chapter, missing_lines, unhelpful_lines
from chaos.stories import DATABASE_STOP, GATEWAY_CUT, RETURN, WORKER_KILL

DOWN = (
    "gateway AP-0001 (AP-0001) is down since 2026-11-25T03:12:05.001+00:00 (connected for 9 s before):"
    " The connection was lost. Next attempt in 0.4 s. Check it (docs/runbook.md#gateway-down)"
)
BACK = "gateway AP-0001 (AP-0001) is back after 3.2 s"
ENDED = (
    "worker mill-w1 (pid 7) has ended: it renewed its lease last at 2026-11-25T03:12:05.001+00:00, and the"
    " lease expired at 2026-11-25T03:12:13.001+00:00; the 412 gateways that it held are free and will be"
    " taken over; check why it ended, see docs/runbook.md#worker-ended"
)
TAKEN = "took over gateway AP-0001 (Press 4) from worker mill-w1 (pid 7), which has ended"


def log(*lines: tuple[str, str], logger: str = "millgate.test") -> str:
    return "".join(
        json.dumps({"time": "", "level": level, "logger": logger, "message": message}) + "\n"
        for level, message in lines
    )


def test_a_story_that_is_told_is_found_between_other_lines() -> None:
    cut = log(("info", "other"), ("warning", DOWN), ("info", "other"), ("info", BACK), ("debug", "other"))
    assert missing_lines(GATEWAY_CUT[:1], {"worker-1": cut}) == []
    taken_over = log(("warning", ENDED), ("info", "claimed 412 gateways"), ("info", TAKEN))
    assert missing_lines(WORKER_KILL, {"worker-2": taken_over + '{"cut sho'}) == []


def test_a_line_that_is_missing_is_named() -> None:
    [missing] = missing_lines(GATEWAY_CUT[:1], {"worker-1": log(("warning", DOWN))})
    assert "worker-1 lacks" in missing
    assert "is back" in missing
    assert len(missing_lines(GATEWAY_CUT[:1], {})) == 1


def test_lines_in_the_wrong_order_or_at_the_wrong_level_tell_nothing() -> None:
    assert missing_lines(GATEWAY_CUT[:1], {"worker-1": log(("info", BACK), ("warning", DOWN))})
    assert missing_lines(GATEWAY_CUT[:1], {"worker-1": log(("debug", DOWN), ("info", BACK))})
    assert missing_lines(GATEWAY_CUT[:1], {"worker-2": log(("warning", DOWN), ("info", BACK))})


@pytest.mark.parametrize(
    "words",
    [
        DOWN.replace("AP-0001", "AP-0002"),
        DOWN.replace("2026-11-25T03:12:05.001+00:00", "lately"),
        DOWN.replace(" Next attempt in 0.4 s.", ""),
    ],
    ids=["of another gateway", "without since when", "without what happens next"],
)
def test_a_line_that_says_less_does_not_count(words: str) -> None:
    assert missing_lines(GATEWAY_CUT[:1], {"worker-1": log(("warning", words), ("info", BACK))})


def test_a_number_that_is_none_does_not_count() -> None:
    lines = (("warning", ENDED.replace("412", "0")), ("info", "claimed 4 gateways"), ("info", TAKEN))
    assert missing_lines(WORKER_KILL, {"worker-2": log(*lines)})


def test_a_warning_has_to_say_what_to_do_but_the_request_log_need_not() -> None:
    assert unhelpful_lines({"worker-1": log(("warning", DOWN), ("info", "x"))}) == []
    assert unhelpful_lines({"api": log(("error", "GET / 500"), logger="millgate.request")}) == []
    [unhelpful] = unhelpful_lines({"api": log(("error", "something failed"))})
    assert unhelpful.startswith("api does not say what to do: 'something failed'")


def test_a_storm_is_a_fault() -> None:
    [storm] = unhelpful_lines({"worker-1": log(*[("warning", DOWN)] * (MAX_WARNINGS + 1))})
    assert storm == f"worker-1 has {MAX_WARNINGS + 1} warnings and errors"


def test_the_logs_of_a_scenario_are_judged_and_those_of_others_are_not() -> None:
    story = (chapter("worker-1", "^info: a"), chapter("short/worker-1", "^info: b"))
    scenario = Scenario("long", "a fault", "a promise", lambda _sandbox, _findings: None, 1, story=story)
    told = {"long/worker-1": log(("info", "a")), "short/worker-1": log(("info", "b"))}
    for logs, fails in (
        (told, False),
        ({**told, "other/worker-1": log(("error", "bad"))}, False),
        ({**told, "short/worker-1": log(("info", "a"))}, True),
        ({**told, "long/api": log(("error", "bad"))}, True),
    ):
        findings = Findings()
        judge_logs(scenario, logs, findings)
        assert findings.has_failed == fails, findings.text


def test_every_scenario_with_processes_has_a_story() -> None:
    assert {scenario.name for scenario in SCENARIOS if not scenario.story} == {"lease-model"}
    for story in (DATABASE_STOP, RETURN):
        assert len(missing_lines(story, {})) == len(story)
