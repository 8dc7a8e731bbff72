"""Settings and logs."""

import dataclasses
import json
import logging
from pathlib import Path

import pytest

from service.config import ApiConfig
from service.environment import Environment, read_environment
from service.errors import ConfigurationError
from service.logs import JsonFormatter
from workers.config import WorkerConfig

NEEDED = {"DATABASE_URL": "postgresql://u:hidden@h/d", "ENCRYPTION_KEY": "hidden"}


@pytest.mark.req("QUAL-06")
@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"PORT": "70000"}, "PORT"),
        ({"API_PROCESSES": "1.5"}, "API_PROCESSES"),
        ({"FORCE_HTTPS": "yes"}, "FORCE_HTTPS"),
        ({"DB_STATEMENT_TIMEOUT_S": "soon"}, "DB_STATEMENT_TIMEOUT_S"),
        ({"DB_STATEMENT_TIMEOUT_S": "nan"}, "DB_STATEMENT_TIMEOUT_S"),
        ({"DB_STATEMENT_TIMEOUT_S": "0"}, "DB_STATEMENT_TIMEOUT_S"),
        ({"LEASE_S": "2", "HEARTBEAT_S": "2"}, "LEASE_S"),
        ({"LIVENESS_TIMEOUT_S": "5"}, "LIVENESS_TIMEOUT_S"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
    ],
)
def test_a_bad_value_is_named_in_one_line(values: dict[str, str], name: str) -> None:
    environment = Environment({**NEEDED, **values})
    reader = WorkerConfig if name in {"LEASE_S", "LIVENESS_TIMEOUT_S"} else ApiConfig
    with pytest.raises(ConfigurationError, match=name) as caught:
        reader.read(environment)
    assert "\n" not in str(caught.value)


@pytest.mark.req("QUAL-06")
def test_configuration_is_frozen_and_shows_no_secret() -> None:
    api, worker = ApiConfig.read(Environment(NEEDED)), WorkerConfig.read(Environment(NEEDED))
    assert "hidden" not in repr(api) + repr(worker)
    with pytest.raises(dataclasses.FrozenInstanceError):
        api.port = 1  # type: ignore[misc]


@pytest.mark.req("QUAL-06")
def test_the_environment_counts_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("HOST=0.0.0.0\nPORT=4000\n")
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.delenv("HOST", raising=False)
    environment = read_environment(tmp_path / ".env")
    assert environment.text("HOST", "") == "0.0.0.0"  # noqa: S104
    assert environment.text("PORT", "") == "5000"


@pytest.mark.req("API-07", "QUAL-05")
def test_a_log_line_is_one_json_object_with_its_extras() -> None:
    record = logging.makeLogRecord({"name": "x", "levelname": "WARNING", "msg": "a\n%s", "args": ("b",)})
    record.gateway = "g-1"
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["level"], line["message"], line["gateway"]) == ("warning", "a\nb", "g-1")
    assert line["time"].endswith("+00:00")
