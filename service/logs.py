"""Logs: one JSON object a line on standard error, with what the line is about as fields of its own."""

import io
import json
import logging
import math
import re
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TextIO

from service.errors import MillgateError
from service.log_limiter import WINDOW_S, LeftOut, LogLimiter

_MOST_CAUSES = 5
_MOST_VALUES = 3
_COUNT = "%d more such lines within %.0f s: %s"
_PLACE = re.compile(r"%[-+.\d]*[a-z]")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_encode = json.JSONEncoder(default=str, ensure_ascii=False).encode


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, and whatever the caller gave as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line. Tracebacks go in as a field: they show source lines, never values."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["traceback"] = _traceback(record.exc_info[1])
        return _line(record.created, record.levelname, record.name, record.getMessage(), fields)


def _traceback(error: BaseException | None) -> str:
    """As Python writes it, without the texts of errors that are not ours: they may quote a secret."""
    parts: list[str] = []
    while error is not None and len(parts) < _MOST_CAUSES:
        frames = "".join(traceback.format_tb(error.__traceback__))
        text = f": {error}" if isinstance(error, (MillgateError, OSError)) else ""
        parts.append(f"{frames}{type(error).__name__}{text}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nwhich led to\n\n".join(reversed(parts))


class BoundedHandler(logging.StreamHandler[TextIO]):
    """Writes so many lines of a kind, then their count (LogLimiter). Lines at level debug are not bounded.

    A kind is a logger, a level, and a message without its values.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._limiter = LogLimiter()

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock."""
        now = monotonic()
        self._write_counts(now)
        kind = (record.name, record.levelno, str(record.msg))
        if record.levelno <= logging.DEBUG or self._limiter.admit(kind, vars(record), now):
            super().emit(record)

    def write_counts(self) -> None:
        """Writes what was left out in the windows that have ended."""
        with self.lock or nullcontext():
            self._write_counts(monotonic())

    def close(self) -> None:
        """Writes all counts, and ends."""
        with self.lock or nullcontext():
            self._write_counts(math.inf)
        super().close()

    def _write_counts(self, now: float) -> None:
        for left_out in self._limiter.take_ended(now):
            super().emit(_count_record(left_out))


def _count_record(left_out: LeftOut) -> logging.LogRecord:
    kind = left_out.kind if isinstance(left_out.kind, tuple) else ("millgate", logging.WARNING, left_out.kind)
    name, level, message = kind
    fields = {"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": _COUNT}
    words = _PLACE.sub("…", message)
    values = {field: dict(counted.most_common(_MOST_VALUES)) for field, counted in left_out.values.items()}
    return logging.makeLogRecord(
        {**fields, "args": (left_out.count, WINDOW_S, words), "more": left_out.count, **values}
    )


def write_counts() -> None:
    """Writes how many lines were left out. Call it every few seconds; each further line does so as well."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, BoundedHandler):
            handler.write_counts()


def time_ago(seconds: float) -> str:
    """When that was, as a line's own time is written."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def write_line(logger: logging.Logger, level: int, message: str, fields: Mapping[str, object]) -> None:
    """The line that `logger` would write, past records, handlers and their locks: a third of the time.

    For what is told once a request. Each line is one write, so threads need no lock. One that can not be
    written, for the disk is full, is lost, as `logging` has it.
    """
    if logger.isEnabledFor(level):
        with suppress(OSError):
            sys.stderr.write(
                _line(time.time(), logging.getLevelName(level), logger.name, message, fields) + "\n"
            )


def _line(time_s: float, level: str, logger: str, message: str, fields: Mapping[str, object]) -> str:
    return _encode(
        {
            "time": datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds"),
            "level": level.lower(),
            "logger": logger,
            "message": message,
            **fields,
        }
    )


def configure_logging(level: str) -> None:
    """Sends every logger's lines to standard error, from `level` (as in LOG_LEVEL) upwards.

    And what standard output has no character for becomes a question mark from now on, instead of an error.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    handler = BoundedHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # No line of ours tells where in the code or on which thread it was written, so nobody need find that out.
    logging._srcfile = None  # noqa: SLF001 (as the logging HOWTO has it, under "Optimization")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # psycopg's pool logs each lost connection; `Database` logs once that the server is away.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
