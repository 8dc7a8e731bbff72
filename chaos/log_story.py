"""What the logs of a scenario must tell: what happened, to whom, since when, and when it was over. Pure."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

RUNBOOK = "docs/runbook.md#"
MAX_WARNINGS = 600
"""Of one process, of warnings and errors: more is a storm. A scenario lasts two minutes at most."""
_UNLISTED = ("millgate.request", "gunicorn.error")
"""Loggers whose lines name nothing to do: each request's, and those that are not Millgate's."""


@dataclass(frozen=True)
class Chapter:
    """Lines of one process, in this order; others may be between them."""

    log: str
    """The name of its log file, without `.log`; after the test bed's name if that is not the scenario's."""
    lines: tuple[str, ...]
    """A pattern for each: it is searched for in `level: message`."""


Story = tuple[Chapter, ...]


def chapter(log: str, *lines: str) -> Chapter:
    """Short for a Chapter."""
    return Chapter(log, lines)


def missing_lines(story: Story, logs: Mapping[str, str]) -> list[str]:
    """The first line of each chapter that is not told after the one before it."""
    return [
        f"{each.log} lacks {missing!r}"
        for each in story
        if (missing := _first_missing(each.lines, _messages(logs.get(each.log, "")))) is not None
    ]


def unhelpful_lines(logs: Mapping[str, str]) -> list[str]:
    """Warnings and errors that do not name what to do, or that are too many."""
    found = []
    for name, text in logs.items():
        warnings = [line for line in _lines(text) if line["level"] in {"warning", "error", "critical"}]
        ours = [line["message"] for line in warnings if line["logger"] not in _UNLISTED]
        found += [f"{name} does not say what to do: {words[:80]!r}" for words in ours if RUNBOOK not in words]
        if len(ours) > MAX_WARNINGS:
            found.append(f"{name} has {len(ours)} warnings and errors")
    return found


def _first_missing(patterns: Sequence[str], messages: Sequence[str]) -> str | None:
    remaining = iter(messages)
    for pattern in patterns:
        if not any(re.search(pattern, message) for message in remaining):
            return pattern
    return None


def _messages(text: str) -> list[str]:
    return [f"{line['level']}: {line['message']}" for line in _lines(text)]


def _lines(text: str) -> Iterable[Mapping[str, str]]:
    """The lines of a log that are ours; a last one may be cut short, where its process was killed."""
    for line in text.splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if isinstance(fields, dict) and {"level", "message", "logger"} <= set(fields):
            yield fields
