"""How much of the time that a gateway was wanted it was connected: from transitions and wishes to sums."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from service.database.views.history import DesiredStateChange, PresentState, Step

Value = TypeVar("Value")


class Link(Enum):
    """What a state says about the link to a gateway."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class Change(NamedTuple, Generic[Value]):
    """From this time on it is this."""

    at: datetime
    value: Value


class Span(NamedTuple, Generic[Value]):
    """All this time it was this."""

    begin: datetime
    end: datetime
    value: Value


@dataclass(frozen=True, slots=True)
class Availability:
    """Sums over the wanted time from `known_from` to the end; what was before is not known."""

    known_from: datetime
    wanted: timedelta
    connected: timedelta
    down: timedelta
    unknown: timedelta
    outages: Sequence[timedelta]
    """An outage is a stretch of wanted time in which the gateway was known not to be connected. Time of which
    nobody knows neither begins one nor ends one, and is not part of its length."""
    wanted_spans: "Sequence[Span[Link]]"
    """All of the wanted time, oldest first."""


def link_of(state: str) -> Link:
    """See Link."""
    if state == "connected":
        return Link.UP
    return Link.UNKNOWN if state == "unknown" else Link.DOWN


def measure(
    present: PresentState,
    steps: Iterable[Step],
    wishes: Iterable[DesiredStateChange],
    start: datetime,
    end: datetime,
) -> Availability:
    """From `start` to `end`, which is not in the future. Steps and wishes are in the order of their ids.

    Steps are taken as they come, once.
    """
    known_from = min(end, max(start, _known_since(present, start)))
    links = spans(link_changes(present, steps), known_from, end)
    wanted = spans((Change(wish.at, wish.is_wanted) for wish in wishes), known_from, end)
    sums = {link: timedelta() for link in Link}
    outages: list[timedelta] = []
    wanted_spans: list[Span[Link]] = []
    is_open = False
    for span in overlap(links, wanted):
        length = span.end - span.begin
        link, is_wanted = span.value
        if is_wanted:
            sums[link] += length
            wanted_spans.append(Span(span.begin, span.end, link))
        if not is_wanted or link is Link.UP:
            is_open = False
        elif link is Link.DOWN:
            if not is_open:
                outages.append(timedelta())
            outages[-1] += length
            is_open = True
    total = sum(sums.values(), timedelta())
    return Availability(
        known_from, total, sums[Link.UP], sums[Link.DOWN], sums[Link.UNKNOWN], outages, wanted_spans
    )


def link_changes(present: PresentState, steps: Iterable[Step]) -> Iterator[Change[Link]]:
    """When the link changed, from the beginning of what is known.

    A step that does not begin where the one before it led to tells that something in between was lost: from
    the one to the other nobody knows.
    """
    before = None
    for step in steps:
        begin = link_of(step.from_state)
        if before is None:
            before = Change(present.created_at, begin)
        yield before if before.value is begin else Change(before.at, Link.UNKNOWN)
        before = Change(max(step.at, before.at), link_of(step.to_state))
    if before is None:
        before = Change(present.created_at, link_of(present.stored_state))
    yield before
    if present.unknown_since is not None:
        yield Change(max(present.unknown_since, before.at), Link.UNKNOWN)


def spans(changes: Iterable[Change[Value]], begin: datetime, end: datetime) -> Iterator[Span[Value]]:
    """What was what, between these times. Before the first change there is nothing."""
    before = None
    for change in changes:
        if before is not None:
            yield from _span(before, change.at, begin, end)
        before = change
    if before is not None:
        yield from _span(before, end, begin, end)


def _span(change: Change[Value], until: datetime, begin: datetime, end: datetime) -> Iterator[Span[Value]]:
    """As far as it is within, and takes any time."""
    span = Span(max(change.at, begin), min(until, end), change.value)
    if span.begin < span.end:
        yield span


def overlap(links: Iterator[Span[Link]], wanted: Iterator[Span[bool]]) -> Iterator[Span[tuple[Link, bool]]]:
    """The stretches in which neither changes, where both are known; oldest first."""
    link, wish = next(links, None), next(wanted, None)
    while link is not None and wish is not None:
        begin, end = max(link.begin, wish.begin), min(link.end, wish.end)
        if begin < end:
            yield Span(begin, end, (link.value, wish.value))
        if link.end <= wish.end:
            link = next(links, None)
        else:
            wish = next(wanted, None)


def _known_since(present: PresentState, start: datetime) -> datetime:
    """Before it was created it was not wanted, and that is known."""
    changes_since = present.changes_since
    since_wishes = start if changes_since == present.created_at else changes_since or present.as_of
    since_events = start if present.created_at > present.events_pruned_until else present.events_pruned_until
    return max(since_wishes, since_events)
