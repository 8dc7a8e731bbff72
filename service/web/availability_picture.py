"""How available a gateway was, as a bar: kinds of time differ in pattern, and not in colour alone."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from service.api.schemas.gateway_history import AvailabilityResponse, BucketResponse
from service.web.wording import duration, local

_WIDTH, _HEIGHT = 960, 40
# What is short is seen, too.
_LEAST_HEIGHT = 4.0
# From the bottom to the top of the bar; what is not recorded is left empty.
KINDS = {
    "up": "connected",
    "unknown": "unknown",
    "down": "not connected",
    "unwanted": "not wanted",
}
_PATTERNS = Markup(
    '<pattern id="{0}-down" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="ground-down" width="8" height="8"/><rect class="ink-down" width="4" height="8"/></pattern>'
    '<pattern id="{0}-unknown" width="8" height="8" patternUnits="userSpaceOnUse">'
    '<rect class="ground-unknown" width="8" height="8"/><circle class="ink-unknown" cx="4" cy="4" r="2"/>'
    "</pattern>"
    '<pattern id="{0}-unwanted" width="8" height="8" patternUnits="userSpaceOnUse">'
    '<rect class="ground-unwanted" width="8" height="8"/>'
    '<rect class="ink-unwanted" y="3" width="8" height="1"/>'
    "</pattern>"
)


class Piece(NamedTuple):
    """A stretch of the bar: some buckets that are all the same, or one."""

    begin: datetime
    end: datetime
    seconds: dict[str, float]
    buckets: int


class Box(NamedTuple):
    """Where something is drawn."""

    x: float
    y: float
    width: float
    height: float


def percent(availability: AvailabilityResponse) -> str:
    """Never rounded up: 100 % is said of nothing less."""
    share = availability.connected_seconds / availability.wanted_seconds
    return "100 %" if share == 1 else f"{int(share * 10_000) / 100:.2f} %"


def in_words(availability: AvailabilityResponse) -> str:
    """What the picture shows, for those who do not see it."""
    if not availability.wanted_seconds:
        return "It was not wanted connected in this time."
    outages = availability.outages
    words = [f"Known to be connected {percent(availability)} of the wanted time"]
    if outages.count:
        words.append(
            f"not connected {_short(outages.seconds)} in {outages.count:,} outage"
            f"{'' if outages.count == 1 else 's'} (longest {_short(outages.longest_seconds)})"
        )
    unknown = availability.unknown_seconds
    words.append(f"unknown {_short(unknown)}" if unknown else "never unknown")
    return " · ".join(words)


def availability_bar(name: str, availability: AvailabilityResponse, timezone: str) -> Markup:
    """As SVG. `name` tells it from others on the page."""
    begin, end = _at(availability.start, timezone), _at(availability.end, timezone)
    title = f"{in_words(availability)}. From {begin} to {end}."
    drawn, x = [], 0.0
    pieces = list(_pieces(availability))
    unit = _WIDTH / sum(piece.buckets for piece in pieces)
    for piece in pieces:
        drawn.append(_drawn(name, piece, x, unit * piece.buckets, timezone))
        x += unit * piece.buckets
    return Markup(
        '<svg class="availability" viewBox="0 0 {} {}" preserveAspectRatio="none" '
        'shape-rendering="crispEdges" role="img" '
        'aria-labelledby="{}-title"><title id="{}-title">{}</title><defs>{}</defs>{}</svg>'
    ).format(_WIDTH, _HEIGHT, name, name, title, _PATTERNS.format(name), Markup("").join(drawn))


def swatch(kind: str) -> Markup:
    """What this kind looks like, for the legend."""
    return Markup(
        '<svg class="swatch" viewBox="0 0 16 16" aria-hidden="true"><defs>{}</defs>{}</svg>'
    ).format(_PATTERNS.format(f"legend-{kind}"), _rectangle(f"legend-{kind}", kind, Box(0, 0, 16, 16)))


def _pieces(availability: AvailabilityResponse) -> Iterator[Piece]:
    buckets: Sequence[BucketResponse] = availability.buckets or []
    ends = [bucket.start for bucket in buckets[1:]] + [availability.end]
    found = [Piece(bucket.start, end, _seconds(bucket), 1) for bucket, end in zip(buckets, ends, strict=True)]
    for only, group in groupby(found, key=_only_kind):
        pieces = list(group)
        if only is None:
            yield from pieces
        else:
            seconds = {only: sum(piece.seconds[only] for piece in pieces)} if only else {}
            yield Piece(pieces[0].begin, pieces[-1].end, seconds, len(pieces))


def _seconds(bucket: BucketResponse) -> dict[str, float]:
    all_kinds = {
        "up": bucket.connected_seconds,
        "unknown": bucket.unknown_seconds,
        "down": bucket.down_seconds,
        "unwanted": bucket.unwanted_seconds,
    }
    return {kind: seconds for kind, seconds in all_kinds.items() if seconds}


def _only_kind(piece: Piece) -> str | None:
    """The one kind of it, or nothing if nothing is recorded; None if it is of several kinds."""
    if not piece.seconds:
        return ""
    length = (piece.end - piece.begin).total_seconds()
    kind, seconds = next(iter(piece.seconds.items()))
    return kind if len(piece.seconds) == 1 and seconds >= length - 1e-3 else None


def _drawn(name: str, piece: Piece, x: float, width: float, timezone: str) -> Markup:
    length = (piece.end - piece.begin).total_seconds()
    heights = {
        kind: max(_LEAST_HEIGHT, _HEIGHT * seconds / length) for kind, seconds in piece.seconds.items()
    }
    if excess := max(0.0, sum(heights.values()) - _HEIGHT):
        heights[max(heights, key=heights.__getitem__)] -= excess
    words = ", ".join(f"{KINDS[kind]} {_short(seconds)}" for kind, seconds in piece.seconds.items())
    parts, y = [], float(_HEIGHT)
    for kind, height in heights.items():
        y -= height
        parts.append(_rectangle(name, kind, Box(x, y, width, height)))
    return Markup("<g><title>{} to {}: {}</title>{}</g>").format(
        _at(piece.begin, timezone), _at(piece.end, timezone), words or "not recorded", Markup("").join(parts)
    )


def _rectangle(name: str, kind: str, box: Box) -> Markup:
    place = Markup('x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"').format(*box)
    if kind == "up":
        return Markup('<rect class="fill-good" {}/>').format(place)
    return Markup('<rect data-kind="{}" fill="url(#{}-{})" {}/>').format(kind, name, kind, place)


def _short(seconds: float) -> str:
    return duration(seconds) if seconds >= 1 else "less than 1 s"


def _at(time: datetime, timezone: str) -> str:
    return local(time, timezone)[:-3]
