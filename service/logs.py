"""Logs: one JSON object a line on standard error, with what the line is about as fields of its own."""

import io
import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

from service.errors import MillgateError

_MOST_CAUSES = 5
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # No line of ours tells where in the code or on which thread it was written, so nobody need find that out.
    logging._srcfile = None  # noqa: SLF001 (as the logging HOWTO has it, under "Optimization")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # The pool tells each lost connection; we tell once that the database is away.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
