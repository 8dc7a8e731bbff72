"""Settings and logs."""

import dataclasses
import json
import logging
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from service.config import ApiConfig
from service.environment import Environment, read_environment, read_settings
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
        ({"DB_POOL_MIN": "9"}, "DB_POOL_MIN must not be more than DB_POOL_MAX"),
        ({"BACKOFF_INITIAL_S": "50"}, "BACKOFF_INITIAL_S must not be longer than BACKOFF_MAX_S"),
        ({"LOGIN_RETRY_S": "901"}, "LOGIN_RETRY_S must not be longer than LOGIN_QUARANTINE_S"),
    ],
)
def test_a_bad_value_is_reported_in_one_line(values: dict[str, str], name: str) -> None:
    environment = Environment({**NEEDED, **values})
    of_worker = name.startswith(("LEASE_S", "LIVENESS_TIMEOUT_S", "BACKOFF", "LOGIN"))
    reader = WorkerConfig if of_worker else ApiConfig
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
def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("HOST=0.0.0.0\nPORT=4000\n")
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.delenv("HOST", raising=False)
    environment = read_environment(tmp_path / ".env")
    assert environment.text("HOST", "") == "0.0.0.0"  # noqa: S104
    assert environment.text("PORT", "") == "5000"


SECRETS = ("DATABASE_URL", "DATABASE_PASSWORD", "ENCRYPTION_KEY", "ENCRYPTION_KEYS_OLD")


def read_all(values: dict[str, str]) -> tuple[ApiConfig, WorkerConfig]:
    environment = Environment(values)
    return ApiConfig.read(environment), WorkerConfig.read(environment)


@pytest.mark.req("QUAL-06", "CRYPTO-03")
def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    texts = {
        "DATABASE_URL": "postgresql://u@h/d",
        "DATABASE_PASSWORD": "hidden &=' %41",
        "ENCRYPTION_KEY": "hidden key",
        "ENCRYPTION_KEYS_OLD": "hidden one, hidden two",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(f"{text}\n")
    for config in read_all({f"{name}_FILE": str(tmp_path / name) for name in SECRETS}):
        assert conninfo_to_dict(config.database.url) == {
            "user": "u", "host": "h", "dbname": "d", "password": "hidden &=' %41",
        }  # fmt: skip
        assert config.encryption_key.reveal() == "hidden key"
        assert [key.reveal() for key in config.old_encryption_keys] == ["hidden one", "hidden two"]
        assert "hidden" not in repr(config)


@pytest.mark.req("QUAL-06")
@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_given_twice_stops_the_start(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hidden")
    with pytest.raises(ConfigurationError, match=f"^{name} and {name}_FILE are both set") as caught:
        read_all({**NEEDED, name: "hidden", f"{name}_FILE": str(tmp_path / "secret")})
    assert "hidden" not in str(caught.value)


@pytest.mark.req("QUAL-06")
@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"hidden \xff", "is not UTF-8"),
        (b"hidden" * 20_000, "is longer than 65536 bytes"),
    ],
)
def test_an_unusable_secret_file_is_reported_in_one_line(
    name: str, content: bytes | None, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    values = {key: value for key, value in NEEDED.items() if key != name}
    with pytest.raises(ConfigurationError, match=problem) as caught:
        read_all({**values, f"{name}_FILE": str(path)})
    assert str(caught.value).startswith(f"{name}_FILE: {path} ")
    assert "hidden" not in str(caught.value)


@pytest.mark.req("QUAL-06")
def test_an_empty_secret_file_leaves_the_secret_unset(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY is not set"):
        read_all({"DATABASE_URL": "postgresql://h/d", "ENCRYPTION_KEY_FILE": str(tmp_path / "empty")})
    api, _ = read_all({**NEEDED, "ENCRYPTION_KEYS_OLD_FILE": str(tmp_path / "empty")})
    assert api.old_encryption_keys == ()


@pytest.mark.req("QUAL-06")
def test_a_password_in_the_url_overrides_the_separate_one() -> None:
    api, _ = read_all({**NEEDED, "DATABASE_PASSWORD": "other"})
    assert conninfo_to_dict(api.database.url)["password"] == "hidden"


@pytest.mark.req("QUAL-06")
@pytest.mark.parametrize(("environment", "file"), [("KEY", "KEY_FILE"), ("KEY_FILE", "KEY")])
def test_a_secret_of_the_environment_overrides_that_of_the_file(
    environment: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("in the file")
    given = {"KEY": "given", "KEY_FILE": str(tmp_path / "secret")}
    (tmp_path / ".env").write_text(f"{file}={given[file]}\n")
    monkeypatch.setenv(environment, given[environment])
    expected = "given" if environment == "KEY" else "in the file"
    assert read_environment(tmp_path / ".env").secret("KEY") == expected


@pytest.mark.req("API-07", "QUAL-05")
def test_a_log_line_is_one_json_object_with_its_extras() -> None:
    record = logging.makeLogRecord({"name": "x", "levelname": "WARNING", "msg": "a\n%s", "args": ("b",)})
    record.gateway = "g-1"
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["level"], line["message"], line["gateway"]) == ("warning", "a\nb", "g-1")
    assert line["time"].endswith("+00:00")


@pytest.mark.req("QUAL-06")
def test_an_empty_variable_does_not_hide_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("ENCRYPTION_KEY=from-the-file\nPORT=3100\nHOST=\n")
    monkeypatch.setenv("ENCRYPTION_KEY", "")
    monkeypatch.setenv("PORT", "3200")
    environment = read_environment(env_file)
    assert environment.required("ENCRYPTION_KEY") == "from-the-file"
    assert environment.text("PORT", "") == "3200"
    assert environment.text("HOST", "localhost") == "localhost"


def test_a_reference_in_the_file_resolves_to_the_effective_value(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("HOST=a\nPORT=1\nURL=${HOST}:${PORT}/${NONE}${NONE:-x} $HOST\n")
    assert read_settings({}, env_file)["URL"] == "a:1/x $HOST"
    assert read_settings({"HOST": "b", "PORT": ""}, env_file)["URL"] == "b:1/x $HOST"


@pytest.mark.parametrize("content", [b"PORT=3\xfc", "PORT=3".encode("utf-16"), b"PORT=\x003", None])
def test_an_unreadable_file_is_reported_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    env_file = tmp_path / ".env"
    if content is None:
        env_file.mkdir()
    else:
        env_file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"\.env (is not UTF-8 text|cannot be read)") as caught:
        read_settings({}, env_file)
    assert "\n" not in str(caught.value)


def test_a_renamed_setting_is_read_under_its_old_name_unless_the_new_one_is_given() -> None:
    required = {"DATABASE_URL": "postgresql://localhost/never", "ENCRYPTION_KEY": "x"}
    for given, timeout_s, renamed in (
        ({}, 10, {}),
        ({"CONNECTION_TEST_TIMEOUT_S": "4"}, 4, {}),
        ({"TRIAL_TIMEOUT_S": "3"}, 3, {"TRIAL_TIMEOUT_S": "CONNECTION_TEST_TIMEOUT_S"}),
        (
            {"TRIAL_TIMEOUT_S": "3", "CONNECTION_TEST_TIMEOUT_S": "4"},
            4,
            {"TRIAL_TIMEOUT_S": "CONNECTION_TEST_TIMEOUT_S"},
        ),
    ):
        config = ApiConfig.read(Environment({**required, **given}))
        assert (config.connection_test_timeout_s, config.renamed) == (timeout_s, renamed)
