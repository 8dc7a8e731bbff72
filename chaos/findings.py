"""What a row of the table promises, what was measured, and the verdict. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """How a row ended."""

    KEPT = "kept"
    FAILED = "FAILED"
    SKIPPED = "skipped"


class SkippedError(Exception):
    """A row can not be measured on this machine; the text says why."""


@dataclass
class Findings:
    """What one row has found so far, in words and numbers. For one thread."""

    parts: list[str] = field(default_factory=list)
    has_failed: bool = False
    histogram: list[float] = field(default_factory=list)
    """Seconds at which something happened, to be shown as bars below the table."""

    def within(self, what: str, took_s: float | None, limit_s: float) -> None:
        """A duration against its limit; None: it did not happen in the time that we waited."""
        kept = took_s is not None and took_s <= limit_s
        shown = "not at all" if took_s is None else f"{took_s:.2f} s"
        self._add(f"{what} {shown} (≤ {limit_s:g} s)", kept=kept)

    def holds(self, what: str, kept: bool) -> None:
        """A promise without a limit."""
        self._add(what, kept=kept)

    def note(self, what: str) -> None:
        """Something to know, that is not judged."""
        self.parts.append(what)

    @property
    def text(self) -> str:
        """All of it."""
        return "; ".join(self.parts)

    def _add(self, what: str, *, kept: bool) -> None:
        self.parts.append(what if kept else f"✗ {what}")
        self.has_failed = self.has_failed or not kept


@dataclass(frozen=True)
class Outcome:
    """A row of the table."""

    name: str
    fault: str
    promise: str
    measured: str
    verdict: Verdict
    took_s: float = 0.0
    histogram: tuple[float, ...] = ()


def exit_status(outcomes: list[Outcome]) -> int:
    """0 only if no row failed."""
    return 1 if any(outcome.verdict is Verdict.FAILED for outcome in outcomes) else 0
