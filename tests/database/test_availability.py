"""Availability compared with counting every second, and edge cases."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.database.views.availability import Availability, Link, measure
from service.database.views.availability_buckets import divide
from service.database.views.history import DesiredStateChange, PresentState, Step

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
END = 100
STATES = ("connected", "unknown", "retrying")


def at(seconds: float) -> datetime:
    """Return the time that many seconds after the start."""
    return ZERO + timedelta(seconds=seconds)


def present(
    stored: str = "connected", unknown_since: float | None = None, created: float = 0, pruned: float = -1000
) -> PresentState:
    """Return the present state that follows from the history."""
    return PresentState(
        created_at=at(created),
        stored_state=stored,
        unknown_since=None if unknown_since is None else at(unknown_since),
        events_pruned_until=at(pruned),
        changes_since=at(created),
        as_of=at(END),
    )


def steps_of(moves: Sequence[tuple[float, str, str]]) -> list[Step]:
    """Return the entries in order."""
    return [Step(number, at(seconds), before, after) for number, (seconds, before, after) in enumerate(moves)]


def changes_of(moves: Sequence[tuple[float, bool]]) -> list[DesiredStateChange]:
    """Return the entries in order."""
    return [
        DesiredStateChange(number, at(seconds), is_wanted)
        for number, (seconds, is_wanted) in enumerate(moves)
    ]


def seconds(measured: Availability) -> tuple[float, float, float, float, list[float]]:
    """Return seconds wanted, connected, down and unknown, and the outages."""
    sums = (measured.wanted, measured.connected, measured.down, measured.unknown)
    wanted, connected, down, unknown = (length.total_seconds() for length in sums)
    return wanted, connected, down, unknown, [length.total_seconds() for length in measured.outages]


@st.composite
def chains(draw: st.DrawFn) -> list[tuple[float, str, str]]:
    """Generate consecutive transitions."""
    times = sorted(draw(st.lists(st.integers(0, END), max_size=12)))
    states = draw(st.lists(st.sampled_from(STATES), min_size=len(times) + 1, max_size=len(times) + 1))
    return [(time, states[n], states[n + 1]) for n, time in enumerate(times)]


@given(
    chain=chains(),
    changes=st.lists(st.tuples(st.integers(1, END), st.booleans()), max_size=6),
    start=st.integers(0, END - 1),
    length=st.integers(1, END),
    stored=st.sampled_from(STATES[::2]),
)
def test_availability_equals_counting_each_second(
    chain: list[tuple[float, str, str]],
    changes: list[tuple[float, bool]],
    start: int,
    length: int,
    stored: str,
) -> None:
    changes = [(0, True), *sorted(changes, key=lambda change: change[0])]
    end = min(END, start + length)
    counted = {"connected": 0, "unknown": 0, "retrying": 0}
    outages: list[float] = []
    is_open = False
    for second in range(start, end):
        state = chain[0][1] if chain else stored
        for moment, _, after in chain:
            if moment <= second:
                state = after
        is_wanted = [change for moment, change in changes if moment <= second][-1]
        if is_wanted:
            counted[state] += 1
        if is_wanted and state == "retrying":
            outages = [*outages[:-1], outages[-1] + 1] if is_open else [*outages, 1.0]
            is_open = True
        elif not is_wanted or state == "connected":
            is_open = False
    measured = measure(present(stored), steps_of(chain), changes_of(changes), at(start), at(end))
    assert seconds(measured) == (
        sum(counted.values()), counted["connected"], counted["retrying"], counted["unknown"], outages,
    )  # fmt: skip
    assert measured.known_from == at(start)
    for count in (1, 3, 7, 200):
        check_buckets(measured, start, end, count)


def check_buckets(measured: Availability, start: float, end: float, count: int) -> None:
    """They have one length, what is in one adds up to that, and all of them to what is in all."""
    buckets = divide(measured, at(start), at(end), count)
    assert len(buckets) == count
    assert [bucket.begin for bucket in buckets[1:]] == [bucket.end for bucket in buckets[:-1]]
    assert (buckets[0].begin, buckets[-1].end) == (at(start), at(end))
    for bucket in buckets:
        length = bucket.end - bucket.begin
        assert abs(length - (at(end) - at(start)) / count) <= timedelta(microseconds=1)
        parts = [*bucket.wanted.values(), bucket.unwanted, bucket.unrecorded]
        assert sum(parts, timedelta()) == length
        assert min(parts) >= timedelta()
    sums = {link: sum((bucket.wanted[link] for bucket in buckets), timedelta()) for link in Link}
    assert sums == {Link.UP: measured.connected, Link.DOWN: measured.down, Link.UNKNOWN: measured.unknown}
    unrecorded = sum((bucket.unrecorded for bucket in buckets), timedelta())
    assert unrecorded == measured.known_from - at(start)


def test_a_bucket_says_what_was_when() -> None:
    moves = steps_of(
        [(10, "retrying", "connected"), (35, "connected", "unknown"), (45, "unknown", "connected")]
    )
    wanted = changes_of([(0, True), (60, False), (70, True)])
    measured = measure(present(pruned=5), moves, wanted, at(0), at(END))
    found = [
        [
            length.total_seconds()
            for length in (*(bucket.wanted[link] for link in Link), bucket.unwanted, bucket.unrecorded)
        ]
        for bucket in divide(measured, at(0), at(END), 5)
    ]
    # Up, down, unknown, unwanted, unrecorded.
    assert found == [
        [10, 5, 0, 0, 5],
        [15, 0, 5, 0, 0],
        [15, 0, 5, 0, 0],
        [10, 0, 0, 10, 0],
        [20, 0, 0, 0, 0],
    ]


def test_many_outages_take_one_pass() -> None:
    """100,000 steps in 200 buckets: an outage is not looked for in each of them."""
    many = 100_000
    moves = [
        Step(number, ZERO + timedelta(milliseconds=number), *pair)
        for number, pair in enumerate([("connected", "retrying"), ("retrying", "connected")] * (many // 2))
    ]
    measured = measure(present(), moves, changes_of([(0, True)]), at(0), at(END))
    check_buckets(measured, 0, END, 200)
    assert len(measured.outages) == many // 2


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([], (100, 100, 0, 0, [])),
        # The worker was killed and its gateway taken over: unknown for a while, then down.
        (
            [(40, "connected", "unknown"), (50, "unknown", "disconnected"), (52, "connecting", "connected")],
            (100, 88, 2, 10, [2]),
        ),
        # Down before and after unknown time: one outage.
        (
            [
                (10, "connected", "retrying"), (20, "retrying", "unknown"), (30, "unknown", "disconnected"),
                (35, "authenticating", "connected"),
            ],
            (100, 75, 15, 10, [15]),
        ),
        # Reported late and slightly out of order: the order of the ids counts.
        ([(40, "connected", "retrying"), (39, "retrying", "connected")], (100, 100, 0, 0, [])),
        # A transition in between was lost: the time between the others is unknown.
        ([(20, "retrying", "connected"), (60, "connecting", "connected")], (100, 40, 20, 40, [20])),
        ([(20, "connected", "retrying"), (60, "connected", "retrying")], (100, 20, 40, 40, [40])),
    ],
)  # fmt: skip
def test_cases_that_are_easy_to_get_wrong(
    moves: list[tuple[float, str, str]], expected: tuple[float, float, float, float, list[float]]
) -> None:
    measured = measure(present(), steps_of(moves), changes_of([(0, True)]), at(0), at(END))
    assert seconds(measured) == expected


def test_time_after_the_workers_last_report_is_unknown() -> None:
    moves = steps_of([(20, "disconnected", "connected")])
    measured = measure(present(unknown_since=90), moves, changes_of([(0, True)]), at(0), at(END))
    assert seconds(measured) == (100, 70, 20, 10, [20])
    # The last report cannot be older than the last transition.
    measured = measure(present(unknown_since=10), moves, changes_of([(0, True)]), at(0), at(END))
    assert seconds(measured) == (100, 0, 20, 80, [20])


def test_unknown_time_is_reported_and_not_counted() -> None:
    wanted = changes_of([(0, True)])
    pruned = measure(present(pruned=30), [], wanted, at(0), at(END))
    assert (pruned.known_from, pruned.wanted) == (at(30), timedelta(seconds=70))
    whole = measure(present(created=40, pruned=30), [], changes_of([(40, True)]), at(0), at(END))
    assert (whole.known_from, whole.wanted) == (at(0), timedelta(seconds=60)), "it did not exist before"
    migrated = measure(present(created=-50), [], changes_of([(60, True)]), at(0), at(END))
    assert migrated.known_from == at(0)
    unknown_wish = PresentState(at(-50), "connected", None, at(-1000), at(60), at(END))
    measured = measure(unknown_wish, [], changes_of([(60, True)]), at(0), at(END))
    assert (measured.known_from, measured.wanted) == (at(60), timedelta(seconds=40))
    never = PresentState(at(-50), "connected", None, at(-1000), None, at(END))
    measured = measure(never, [], [], at(0), at(END))
    assert (measured.known_from, measured.wanted) == (at(END), timedelta())
