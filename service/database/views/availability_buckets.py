"""A stretch of time in buckets of one length, each with how long it was what: for a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from service.database.views.availability import Availability, Link, Span


@dataclass(slots=True)
class Bucket:
    """These add up to its length. Of time before the history begins nothing is recorded."""

    begin: datetime
    end: datetime
    wanted: dict[Link, timedelta] = field(default_factory=lambda: {link: timedelta() for link in Link})
    unrecorded: timedelta = timedelta()

    @property
    def unwanted(self) -> timedelta:
        """When it was recorded, and not wanted."""
        return self.end - self.begin - self.unrecorded - sum(self.wanted.values(), timedelta())


def divide(measured: Availability, start: datetime, end: datetime, count: int) -> list[Bucket]:
    """So many buckets, for what was measured from `start` to `end`; of very short times some are empty."""
    edges = [start + (end - start) * number / count for number in range(count + 1)]
    buckets = [Bucket(begin, until) for begin, until in pairwise(edges)]
    for bucket in buckets:
        bucket.unrecorded = max(timedelta(), min(bucket.end, measured.known_from) - bucket.begin)
    _add(buckets, measured.wanted_spans)
    return buckets


def _add(buckets: Sequence[Bucket], spans: Sequence[Span[Link]]) -> None:
    """Both are in order: one pass over them."""
    place = 0
    for span in spans:
        while buckets[place].end <= span.begin:
            place += 1
        for bucket in buckets[place:]:
            if bucket.begin >= span.end:
                break
            bucket.wanted[span.value] += min(span.end, bucket.end) - max(span.begin, bucket.begin)
