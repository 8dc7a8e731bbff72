"""Logs: one JSON object a line on standard error, with what the line is about as fields of its own."""

import io
import json
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_encode = json.JSONEncoder(default=str, ensure_ascii=False).encode


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, and whatever the caller gave as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line. Tracebacks go in as a field: they show source lines, never values of variables."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return _line(record.created, record.levelname, record.name, record.getMessage(), fields)


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
