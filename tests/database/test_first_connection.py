"""Messages of a process that cannot connect to its database."""

import signal
import subprocess
import sys
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from devstack.commands import API, local
from devstack.postgres.server import free_port
from devstack.project import PROJECT
from service.config import DatabaseConfig
from service.database.engine.first_connection import connect_first
from service.environment import Environment
from service.errors import ConfigurationError
from tests.support.api_server import KEY
from tests.support.waiting import wait_until

WORKER = (sys.executable, "-m", "workers")
TOKENS = (sys.executable, "-m", "service.manage_tokens", "list")
ROTATE = (sys.executable, "-m", "service.rotate_keys")
# Far less than the 30 s of waiting for a database at the start.
AT_ONCE_S = 15
pytestmark = pytest.mark.req("QUAL-06")


def wrong(database_url: str, change: str) -> str:
    """Return the URL with one mistake."""
    parts = urlsplit(database_url)
    if change == "password":
        return database_url.replace(f":{parts.password}@", ":hidden-and-wrong@")
    if change == "sslmode":
        return database_url.replace("sslmode=disable", "sslmode=require")
    if change == "nonsense":
        return database_url.replace("sslmode=disable", "sslmode=nonsense")
    if change == "user":
        return database_url.replace(f"//{parts.username}:", "//nobody-here:")
    return database_url.replace(parts.path, "/not-there")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("password", "password authentication failed for user"),
        ("user", 'authentication failed for user "nobody-here"'),
        ("sslmode", "server does not support SSL"),
        ("nonsense", 'invalid sslmode value: "nonsense"'),
        ("database", 'database "not-there" does not exist'),
    ],
)
@pytest.mark.parametrize(
    "command", [local(API), WORKER, TOKENS, ROTATE], ids=["api", "worker", "tokens", "keys"]
)
def test_a_permanent_connection_error_is_raised_without_waiting(
    database_url: str, command: tuple[str, ...], change: str, reason: str
) -> None:
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=environment(wrong(database_url, change)),
        capture_output=True,
        text=True,
        timeout=AT_ONCE_S,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "the database refuses what DATABASE_URL says: " in last
    assert reason in last
    assert "hidden" not in done.stderr
    assert "Traceback" not in done.stderr


def environment(url: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "DATABASE_URL": url, "ENCRYPTION_KEY": KEY, "PORT": str(free_port())}


@pytest.mark.parametrize("command", [local(API), WORKER], ids=["api", "worker"])
def test_a_wait_logs_its_reason_and_ends_with_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    log_path = tmp_path / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment("postgresql://u:hidden@127.0.0.1:1/d"),
            stderr=log,
            stdout=log,
        )
    try:
        wait_until(lambda: "Connection refused" in log_path.read_text(), AT_ONCE_S, "the reason")
        process.send_signal(signal.SIGINT)
        process.wait(AT_ONCE_S)
    finally:
        process.kill()
    assert "Traceback" not in log_path.read_text()
    assert "KeyboardInterrupt" not in log_path.read_text()
    assert "hidden" not in log_path.read_text()


def config_of(url: str) -> DatabaseConfig:
    return DatabaseConfig.read(Environment({"DATABASE_URL": url}))


def test_the_last_line_has_the_last_reason() -> None:
    said: list[str] = []
    with pytest.raises(ConfigurationError, match=r"cannot be reached .*Connection refused"):
        connect_first(
            config_of("postgresql://u:hidden@127.0.0.1:1/d"),
            "x",
            wait_s=0.5,
            say=said.append,
            pause=Event().wait,
        )
    assert len(said) == 1
    assert "Connection refused" in said[0]


@pytest.mark.parametrize(
    "url", ["postgresql://u:pa@hidden.invalid@h/d", "postgresql://u:hidden@none.invalid/d"]
)
def test_part_of_a_password_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="percent-encoded") as caught:
        connect_first(config_of(url), "x", wait_s=0, say=lambda _: None, pause=Event().wait)
    assert "hidden" not in str(caught.value)


def test_a_server_at_its_connection_limit_is_waited_for(
    server_admin: psycopg.Connection, database_url: str
) -> None:
    name = sql.Identifier(urlsplit(database_url).path[1:])
    server_admin.execute(sql.SQL("CREATE ROLE once LOGIN PASSWORD 'once' CONNECTION LIMIT 0"))

    def give_it_room(_reason: str) -> None:
        server_admin.execute("ALTER ROLE once CONNECTION LIMIT 5")

    try:
        server_admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO once").format(name))
        parts = urlsplit(database_url)
        url = database_url.replace(f"//{parts.username}:{parts.password}@", "//once:once@")
        connection = connect_first(
            config_of(url),
            "x",
            wait_s=10,
            say=give_it_room,
            pause=Event().wait,
        )
        assert connection is not None
        connection.close()
    finally:
        server_admin.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM once").format(name))
        server_admin.execute("DROP ROLE once")
