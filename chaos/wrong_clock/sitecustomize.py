"""Python runs this first when its folder is on PYTHONPATH: the process then lives with a wrong wall clock.

The monotonic clocks stay as they are, as on a machine whose wall clock is wrong.
"""

import datetime as dt
import os
import time

ERROR_S = float(os.environ.get("CLOCK_ERROR_S", "0"))
ERROR_NS = int(ERROR_S * 1_000_000_000)
right_time, right_time_ns = time.time, time.time_ns
right_clock_gettime, right_clock_gettime_ns = time.clock_gettime, time.clock_gettime_ns
RightDatetime = dt.datetime


def clock_gettime(clock: int) -> float:
    """As `time.clock_gettime`."""
    return right_clock_gettime(clock) + (ERROR_S if clock == time.CLOCK_REALTIME else 0)


def clock_gettime_ns(clock: int) -> int:
    """As `time.clock_gettime_ns`."""
    return right_clock_gettime_ns(clock) + (ERROR_NS if clock == time.CLOCK_REALTIME else 0)


class AnyDatetime(type):
    """Values that compiled code makes are instances of the class that we have replaced."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, RightDatetime)


class WrongDatetime(RightDatetime, metaclass=AnyDatetime):
    """A datetime that believes in the wrong clock."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> RightDatetime:  # type: ignore[override]
        """As `datetime.now`."""
        return RightDatetime.now(tz) + dt.timedelta(seconds=ERROR_S)

    @classmethod
    def utcnow(cls) -> RightDatetime:  # type: ignore[override]
        """As `datetime.utcnow`."""
        return cls.now(dt.UTC).replace(tzinfo=None)


time.time = lambda: right_time() + ERROR_S
time.time_ns = lambda: right_time_ns() + ERROR_NS
time.clock_gettime = clock_gettime
time.clock_gettime_ns = clock_gettime_ns
dt.datetime = WrongDatetime  # type: ignore[misc]
