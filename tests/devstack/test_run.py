"""`make run` as its user sees it, with the real API, worker and PostgreSQL, in a copy of the project."""

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from urllib.parse import unquote, urlsplit

import psutil
import pytest

from devstack.postgres.server import free_port
from devstack.processes.orphans import is_alive
from devstack.run.environment import metrics_setting, new_encryption_key
from tests.devstack.other_users import AS_NOBODY, open_up, reachable_by_nobody
from tests.devstack.running import READY_LIMIT_S, Millgate
from tests.support.waiting import wait_until

pytestmark = pytest.mark.req("DB-01")


def family_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return all processes under the supervisor."""
    return psutil.Process(process.pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run."""
    return [process for process in processes if is_alive(process.pid) and process.is_running()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_becomes_ready_and_a_signal_stops_everything(millgate: Millgate, number: int) -> None:
    process = millgate.start_until_ready()
    assert millgate.is_ready()
    assert f"Open http://127.0.0.1:{millgate.port}/ui/ in a browser" in millgate.output()
    assert list(millgate.pids()) == ["postgres", "api", "worker"]
    family = family_of(process)
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(12) == 0
    assert time.monotonic() - began < 10
    assert alive(family) == []
    assert not (millgate.data / "children.json").exists()


def test_the_first_start_writes_an_env_file_and_the_second_is_quick_and_keeps_everything(
    millgate: Millgate,
) -> None:
    process = millgate.start_until_ready()
    env_file = millgate.folder / ".env"
    written = env_file.read_text()
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert "ENCRYPTION_KEY=" in written
    assert "Wrote .env" in millgate.output()
    process.terminate()
    assert process.wait(12) == 0
    began = time.monotonic()
    millgate.start_until_ready()
    assert time.monotonic() - began < 5
    assert env_file.read_text() == written
    assert "Wrote .env" not in millgate.output()


def test_its_files_are_readable_by_the_owner_alone(millgate: Millgate) -> None:
    millgate.start_until_ready()
    written = [path for path in millgate.data.rglob("*") if not path.is_socket()]
    assert {"log", "api.log", "children.json", "lock"} <= {path.name for path in written}
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_kill_9_leaves_nothing_for_long_and_the_next_start_is_clean(millgate: Millgate) -> None:
    process = millgate.start_until_ready()
    family = family_of(process)
    process.kill()
    process.wait(5)
    millgate.start_until_ready()
    assert alive(family) == []
    assert millgate.is_ready()


@pytest.mark.parametrize("part", ["api", "worker", "postgres"])
def test_a_killed_process_is_restarted(millgate: Millgate, part: str) -> None:
    millgate.start_until_ready()
    before = millgate.pids()[part]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: millgate.pids()[part] != before and millgate.is_ready(), 20, f"{part} to be back")
    assert f"{part} ended unexpectedly (signal 9)" in millgate.output()
    assert f"{part} was started again." in millgate.output()


def test_a_second_start_on_the_same_data_is_refused_in_one_line(millgate: Millgate) -> None:
    process = millgate.start_until_ready()
    second = Millgate(millgate.folder)
    (millgate.folder / "said").rename(millgate.folder / "said-first")
    assert second.start(PORT=str(free_port())).wait(10) == 1
    assert second.output() == f"Millgate is already running on {millgate.data} (process {process.pid}).\n"
    assert millgate.is_ready()


def test_a_taken_port_is_reported_in_one_line_and_leaves_nothing(millgate: Millgate) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", millgate.port))
        other.listen()
        assert millgate.start().wait(10) == 1
    begin = f"Port {millgate.port} is in use by another program: choose another one, for example "
    assert millgate.output() == begin + "PORT=3001 make run.\n"
    assert [path.name for path in millgate.data.iterdir()] == ["lock"]
    assert not (millgate.folder / ".env").exists()


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "\uff13"])
def test_an_invalid_port_is_reported_in_one_line(millgate: Millgate, port: str) -> None:
    assert millgate.start(PORT=port).wait(10) == 1
    assert millgate.output() == "PORT must be a whole number from 1 to 65535.\n"


@pytest.mark.parametrize("host", ["192.0.2.1", "none.invalid"])
def test_a_foreign_host_is_reported_in_one_line(millgate: Millgate, host: str) -> None:
    assert millgate.start(HOST=host).wait(10) == 1
    assert millgate.output().startswith(f"Cannot listen on HOST {host} (")
    assert "PORT" not in millgate.output()


def test_a_metrics_port_equal_to_the_apis_is_reported_in_one_line(millgate: Millgate) -> None:
    assert millgate.start(METRICS_PORT=str(millgate.port - 1), WORKERS="2").wait(10) == 1
    assert millgate.output().startswith(
        f"PORT {millgate.port} is also a port for workers' metrics (METRICS_PORT "
    )


def test_a_token_without_a_name_is_reported_in_one_line(millgate: Millgate) -> None:
    refused = tokens_command(millgate, "create", "", "")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("A name is needed: make token NAME=first SCOPE=write")


def test_with_required_tokens_it_explains_how_to_make_a_working_one(millgate: Millgate) -> None:
    millgate.start(AUTH="required")
    wait_until(lambda: "Millgate is ready" in millgate.output(), READY_LIMIT_S, "the ready line")
    assert "make token NAME=first SCOPE=write" in millgate.output()
    assert status_of(millgate, None) == 401
    made = tokens_command(millgate, "create", "first", "write")
    assert made.returncode == 0, made.stderr
    assert status_of(millgate, made.stdout.strip()) == 200
    assert "first" in tokens_command(millgate, "list").stdout
    assert tokens_command(millgate, "revoke", "first").returncode == 0
    assert status_of(millgate, made.stdout.strip()) == 401


def test_commands_report_a_missing_database(millgate: Millgate) -> None:
    refused = tokens_command(millgate, "list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "No database: `make run` does not run here, and DATABASE_URL is not set.\n"


def test_a_token_is_made_in_the_intended_database(millgate: Millgate, database_url: str) -> None:
    (millgate.folder / ".env").write_text(
        f"DATABASE_URL={database_url}\nENCRYPTION_KEY={new_encryption_key()}\n"
    )
    millgate.start_until_ready()
    assert "`make run` uses its own PostgreSQL: DATABASE_URL is ignored." in millgate.output()
    refused = tokens_command(millgate, "create", "first", "write")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Two databases: ")
    assert len(refused.stderr.splitlines()) == 1
    meant = tokens_command(millgate, "create", "first", "write", DATABASE_URL=database_url)
    assert meant.returncode == 0, meant.stderr
    name = urlsplit(database_url).path[1:]
    assert meant.stderr.startswith(f"Database: {name} on 127.0.0.1\n")
    password = urlsplit(database_url).password or "none"
    assert password not in refused.stderr + meant.stderr + millgate.output()
    (millgate.folder / ".env").write_text("")
    assert tokens_command(millgate, "list").stderr == "Database: millgate on 127.0.0.1\n"
    assert "first" not in tokens_command(millgate, "list").stdout


@pytest.mark.parametrize("text", ["ENCRYPTION_KEY=\n", "HOST=127.0.0.1\n"])
def test_a_missing_key_is_reported_before_anything_starts(millgate: Millgate, text: str) -> None:
    (millgate.folder / ".env").write_text(text)
    assert millgate.start().wait(10) == 1
    assert "head -c 32 /dev/urandom | base64" in millgate.output()
    assert "Starting" not in millgate.output()


def tokens_command(
    millgate: Millgate, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command of `make token` and the like in the project's folder."""
    return subprocess.run(
        [sys.executable, "-m", "devstack", "tokens", *arguments],
        cwd=millgate.folder,
        env={"PATH": os.environ["PATH"], "MILLGATE_DATA_DIR": str(millgate.data), **environment},
        capture_output=True,
        text=True,
        timeout=READY_LIMIT_S,
        check=False,
    )


def status_of(millgate: Millgate, token: str | None) -> int:
    """Return the API's status for this token."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection("127.0.0.1", millgate.port, timeout=10)
    try:
        connection.request("GET", "/api/factories", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_process_that_cannot_start_stops_the_others_and_shows_why(millgate: Millgate) -> None:
    process = millgate.start(ENCRYPTION_KEY="c2hvcnQ=")
    assert process.wait(30) == 1
    assert "could not start (exit code" in millgate.output()
    assert "ENCRYPTION_KEY" in millgate.output()
    assert "Traceback" not in millgate.output()
    assert not (millgate.data / "children.json").exists()


def test_several_workers(millgate: Millgate) -> None:
    process = millgate.start_until_ready(WORKERS="3")
    pids = {name: pid for name, pid in millgate.pids().items() if name.startswith("worker")}
    assert sorted(pids) == ["worker-1", "worker-2", "worker-3"]
    process.terminate()
    assert process.wait(10) == 0
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


def test_each_worker_has_its_own_metrics_port_if_configured() -> None:
    assert metrics_setting({}, 1) == {}
    assert [metrics_setting({"METRICS_PORT": "9100"}, position) for position in range(3)] == [
        {},
        {"METRICS_PORT": "9101"},
        {"METRICS_PORT": "9102"},
    ]
    assert metrics_setting({"METRICS_PORT": "0"}, 1) == {}


def test_an_invalid_number_of_workers_is_rejected(millgate: Millgate) -> None:
    process = millgate.start(WORKERS="many")
    assert process.wait(READY_LIMIT_S) == 1
    assert "WORKERS must be a whole number from 1 to 16." in millgate.output()


def test_its_own_database_overrides_one_in_a_file_and_the_key_may_be_in_a_file(millgate: Millgate) -> None:
    key_file = millgate.folder / "key"
    key_file.write_text(new_encryption_key())
    nowhere = str(millgate.folder / "nowhere")
    (millgate.folder / ".env").write_text(f"DATABASE_URL_FILE={nowhere}\nENCRYPTION_KEY=none\n")
    process = millgate.start_until_ready(DATABASE_URL_FILE=nowhere, ENCRYPTION_KEY_FILE=str(key_file))
    process.terminate()
    assert process.wait(12) == 0


def test_single_parts_and_tools_take_secrets_from_files(millgate: Millgate, database_url: str) -> None:
    parts = urlsplit(database_url)
    password = unquote(parts.password or "")
    url = database_url.replace(f":{parts.password}@", "@")
    (millgate.folder / "url").write_text(url)
    (millgate.folder / "password").write_text(password)
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL_FILE": str(millgate.folder / "url"),
        "DATABASE_PASSWORD_FILE": str(millgate.folder / "password"),
    }

    def run_devstack(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "devstack", *arguments],
            cwd=millgate.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=READY_LIMIT_S,
            check=False,
        )

    for command in (["migrate"], ["tokens", "list"]):
        done = run_devstack(*command)
        assert done.returncode == 0, done.stderr
        assert password not in done.stdout + done.stderr
    environment["DATABASE_URL"] = url
    for command in (["migrate"], ["tokens", "list"]):
        refused = run_devstack(*command)
        assert refused.returncode == 1
        assert refused.stderr == "DATABASE_URL and DATABASE_URL_FILE are both set: give one of them\n"


HOSTILE = {
    "PGHOSTADDR": "192.0.2.1",
    "PGHOST": "192.0.2.1",
    "PGPORT": "1",
    "PGSERVICE": "nowhere",
    "PGOPTIONS": "-c search_path=nowhere -c default_transaction_read_only=on",
    "PGSSLMODE": "verify-full",
    "PGSSLROOTCERT": "/nowhere",
    "PGREQUIREAUTH": "none",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCLIENTENCODING": "LATIN1",
    "PGCONNECT_TIMEOUT": "no number",
    "DBMATE_MIGRATIONS_TABLE": "nowhere",
    "DBMATE_STRICT": "nonsense",
    "PYTHONOPTIMIZE": "2",
    "GUNICORN_CMD_ARGS": "--workers 0 --bind 192.0.2.1:1",
    "FLASK_DEBUG": "1",
    "PSYCOPG_IMPL": "c",
    "PROMETHEUS_MULTIPROC_DIR": "/nowhere",
    "ENCRYPTION_KEY": "",
    "HOST": "",
}


def test_user_settings_for_other_programs_have_no_effect(millgate: Millgate) -> None:
    process = millgate.start_until_ready()
    process.terminate()
    assert process.wait(12) == 0
    # Its key is in .env by now, and the variable is empty.
    millgate.start_until_ready(**HOSTILE)
    assert millgate.is_ready()
    assert "first" in tokens_command(millgate, "create", "first", "read", **HOSTILE).stderr


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"# Schl\xfcssel\nPORT=3000\n", "is not UTF-8 text: save it as UTF-8"),
        ("\ufeffPORT=3000\n".encode("utf-16-le"), "is not UTF-8 text: save it as UTF-8"),
        (b"PORT=30\x0000\n", "is not UTF-8 text: save it as UTF-8"),
        (None, "cannot be read (Is a directory): it has to be a file that this user may read"),
    ],
)
def test_an_unreadable_env_file_is_reported_in_one_line(
    millgate: Millgate, content: bytes | None, problem: str
) -> None:
    env_file = millgate.folder / ".env"
    if content is None:
        env_file.mkdir()
    else:
        env_file.write_bytes(content)
    assert millgate.start().wait(10) == 1
    assert millgate.output() == f"{env_file} {problem}\n"
    refused = tokens_command(millgate, "list")
    assert (refused.returncode, refused.stderr) == (1, f"{env_file} {problem}\n")


def test_all_parts_read_an_env_file_alike(millgate: Millgate) -> None:
    # With a byte order mark, as some editors write it, and with a reference to another setting.
    start, end = str(millgate.port)[:-1], str(millgate.port)[-1]
    text = f"\ufeffSTART={start}\nPORT=${{START}}{end}\nENCRYPTION_KEY={new_encryption_key()}\n"
    (millgate.folder / ".env").write_text(text, "utf-8")
    millgate.start_until_ready(PORT="")
    assert millgate.is_ready()


def test_it_runs_on_a_terminal_without_our_characters(millgate: Millgate) -> None:
    millgate.start_until_ready(PYTHONIOENCODING="latin-1")
    assert "Starting PostgreSQL ?" in millgate.output()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_data_of_another_user_are_reported_in_one_line(millgate: Millgate) -> None:
    if not reachable_by_nobody(millgate.folder):
        pytest.skip("the project lies where user nobody may not go")
    open_up(millgate.folder)
    millgate.data.mkdir(mode=0o700)
    advice = "and you are nobody: run make as root, use a copy of your own, or take this one over"
    for what in (["run"], ["tokens", "list"]):
        result = subprocess.run(
            [*AS_NOBODY, sys.executable, "-m", "devstack", *what],
            cwd=millgate.folder,
            env={"PATH": os.environ["PATH"], "MILLGATE_DATA_DIR": str(millgate.data)},
            capture_output=True,
            text=True,
            timeout=READY_LIMIT_S,
            check=False,
        )
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert advice in result.stderr
