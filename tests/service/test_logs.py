"""Log lines written without logging's records: the same text, and whole lines."""

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import NoReturn

import pytest

from service.errors import ConfigurationError
from service.logs import JsonFormatter, write_line

FIELDS = {"request_id": "f", "path": "/ä\n\udc80", "status": 200, "duration_ms": None}


@pytest.fixture
def log() -> logging.Logger:
    """Yield a logger with its own level and handler."""
    logger = logging.Logger("millgate.test", logging.INFO)  # noqa: LOG001 (private to the test)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    return logger


def lines_of(stream: StringIO) -> list[dict[str, object]]:
    """Return the written lines without times."""
    lines: list[dict[str, object]] = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in lines:
        assert line.pop("time")
    return lines


@pytest.mark.req("API-07", "QUAL-05")
def test_it_writes_the_same_line_as_the_logger(log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    log.handlers[0].setStream(written)  # type: ignore[attr-defined]
    log.warning("GET / 200", extra=FIELDS)
    write_line(log, logging.WARNING, "GET / 200", FIELDS)
    one, other = lines_of(written)
    assert one == other
    assert list(one) == ["level", "logger", "message", *FIELDS]


@pytest.mark.req("GATEWAY-07")
def test_a_traceback_has_the_text_of_our_own_errors_only(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = StringIO()
    log.handlers[0].setStream(written)  # type: ignore[attr-defined]
    secret = "canary-5d1c"

    def crash(kind: type[Exception]) -> NoReturn:
        error = kind(secret)
        error.add_note(secret)
        raise error

    try:
        try:
            crash(ValueError)
        except ValueError:
            try:
                crash(KeyError)
            except KeyError as error:
                raise ConfigurationError("our own message") from error
    except ConfigurationError:
        log.exception("it crashed")
    [line] = lines_of(written)
    assert secret not in written.getvalue()
    shown = str(line["traceback"])
    assert "test_logs.py" in shown
    assert "ValueError\n" in shown
    assert shown.endswith("ConfigurationError: our own message")


def test_below_the_level_it_writes_nothing(log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    written = StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    write_line(log, logging.DEBUG, "no", {})
    assert written.getvalue() == ""


def test_a_failed_write_does_not_raise() -> None:
    code = (
        "import logging; from service.logs import write_line; log = logging.getLogger();"
        "write_line(log, logging.ERROR, 'lost', {}); print('went on')"
    )
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, check=False)
    assert ran.stdout == b"went on\n"


def test_threads_write_whole_lines(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    with path.open("w", buffering=1, errors="backslashreplace") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with ThreadPoolExecutor(8) as threads:
            for number in range(4000):
                threads.submit(write_line, log, logging.INFO, "x" * (number % 300), {"number": number})
    assert {json.loads(line)["number"] for line in path.read_text().splitlines()} == set(range(4000))
