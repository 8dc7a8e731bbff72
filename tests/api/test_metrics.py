"""GET /metrics of the API: over all processes, with few labels, and with a token where required."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from devstack.project import PROJECT
from service.api.middleware import multiprocess_metrics
from service.api.middleware.multiprocess_metrics import PREFIX, VARIABLE, make_directory
from service.api.server.gunicorn_worker import ApiWorker
from service.ongoing_failure import FailureNotice
from tests.support.api.metrics import Series, read
from tests.support.api.tokens import bearer, make_token
from tests.support.api_server import ApiServer
from tests.support.waiting import wait_until

DURATIONS = "millgate_http_request_duration_seconds"
PROCESSES = 2


def answered(series: Series, route: str, status: str = "200", method: str = "GET") -> float:
    """Return how many requests to a route got this status."""
    labels = {"method": method, "route": route, "status": status}
    return series.get((f"{DURATIONS}_count", frozenset(labels.items())), 0)


@pytest.fixture
def api(start_api: Callable[..., ApiServer], tmp_path: Path) -> ApiServer:
    """Yield a server of two processes with metrics in this test's own directory."""
    return start_api(API_PROCESSES=str(PROCESSES), TMPDIR=str(tmp_path))


def remove(directory: Path) -> None:
    """Remove the directory, including files that a process adds meanwhile."""

    def is_gone() -> bool:
        shutil.rmtree(directory, ignore_errors=True)
        return not directory.exists()

    wait_until(is_gone)


def processes_of(api: ApiServer, tmp_path: Path) -> set[str]:
    """Return the processes that have answered requests so far."""
    files = tmp_path.glob(f"{PREFIX}*/histogram_*.db")
    # A file starts with its used size, which includes these 8 bytes.
    used = {path: struct.unpack_from("i", path.read_bytes())[0] for path in files}
    return {path.stem.rpartition("_")[2].partition("-")[0] for path in used if used[path] > 8}


def test_it_counts_for_all_processes_together(api: ApiServer, tmp_path: Path) -> None:
    asked = 0

    def all_have_answered() -> bool:
        nonlocal asked
        asked += 1
        assert api.call("GET", "/api/factories").status == 200
        return len(processes_of(api, tmp_path)) == PROCESSES

    wait_until(all_have_answered, 20, "an answer from each process")
    for _ in range(10):
        assert answered(read(api), "/api/factories") == asked


def test_a_route_has_one_label_for_all_its_paths(api: ApiServer) -> None:
    for number in range(5):
        api.call("GET", f"/api/factories/{number}")
        api.call("GET", f"/nothing/{number}")
        api.call(f"MADEUP{number}", "/api/factories")
    series = read(api)
    assert answered(series, "/api/factories/<factory_id>", "400") == 5
    assert answered(series, "none", "404") == 5
    assert answered(series, "none", "405", "other") + answered(series, "/api/factories", "405", "other") == 5
    labels = {name for _, pairs in series for name, _ in pairs}
    assert labels <= {"method", "route", "status", "le", "use", "state"}
    assert not [pairs for _, pairs in series if "MADEUP" in str(pairs) or "/nothing" in str(pairs)]


def test_the_pool_is_counted(api: ApiServer) -> None:
    for _ in range(5):
        api.call("GET", "/api/factories")
    nothing: frozenset[tuple[str, str]] = frozenset()
    taken = "millgate_db_pool_requests_total", nothing
    wait_until(lambda: read(api)[taken] >= 5, 10, "each process to have counted")
    series = read(api)
    assert series["millgate_db_pool_errors_total", nothing] == 0
    assert ("millgate_db_pool_connections", frozenset({("use", "free")})) in series


def test_a_process_that_is_killed_keeps_its_counts_and_loses_its_connections(
    api: ApiServer, tmp_path: Path
) -> None:
    for _ in range(10):
        api.call("GET", "/api/factories")
    before = answered(read(api), "/api/factories")
    assert api.process is not None
    victim = next(iter(processes_of(api, tmp_path)))
    assert victim != str(api.process.pid)
    os.kill(int(victim), signal.SIGKILL)
    gauges = f"{PREFIX}*/gauge_livesum_{victim}-*.db"
    wait_until(lambda: not list(tmp_path.glob(gauges)), 10, "its connections to be removed")
    wait_until(api.answers, 10, "an answer")
    assert answered(read(api), "/api/factories") == before == 10


def test_the_directory_ends_with_the_server_and_a_killed_one_leaves_it_to_the_next(
    start_api: Callable[..., ApiServer], tmp_path: Path
) -> None:
    (tmp_path / f"{PREFIX}left").mkdir()
    api = start_api(TMPDIR=str(tmp_path))
    assert api.process is not None
    [directory] = tmp_path.glob(f"{PREFIX}*")
    assert directory.name != f"{PREFIX}left"
    assert directory.stat().st_mode & 0o077 == 0
    api.process.send_signal(signal.SIGTERM)
    assert api.process.wait(12) == 0
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def replace_a_process(api: ApiServer) -> None:
    """Kill a process, so that its successor has not seen the earlier files."""
    assert api.process is not None
    server = psutil.Process(api.process.pid)
    victim = server.children()[0]
    victim.kill()
    # Until it has ended, it may still accept clients.
    wait_until(lambda: victim not in server.children(), 10, "its end")
    wait_until(lambda: len(server.children()) == PROCESSES, 10, "another one")
    wait_until(api.answers, 10, "an answer")


def test_a_vanished_directory_fails_no_request_and_is_made_again(api: ApiServer, tmp_path: Path) -> None:
    assert answered(read(api), "/metrics") == 0
    for _ in range(2):
        [directory] = tmp_path.glob(f"{PREFIX}*")
        remove(directory)
        replace_a_process(api)
        for _ in range(20):
            answer = api.call("GET", "/api/factories")
            assert answer.status == 200, answer.error
            assert api.call("GET", "/metrics").status == 200
        wait_until(lambda: answered(read(api), "/metrics") > 0, 10, "requests to be counted again")
        assert [each.stat().st_mode & 0o077 for each in tmp_path.glob(f"{PREFIX}*")] == [0]


def test_an_unwritable_directory_fails_no_request(api: ApiServer, tmp_path: Path) -> None:
    [directory] = tmp_path.glob(f"{PREFIX}*")
    remove(directory)
    directory.write_text("A file of this name prevents making the directory.")
    replace_a_process(api)
    for _ in range(20):
        answer = api.call("GET", "/api/factories")
        assert answer.status == 200, answer.error
    refused = api.call("GET", "/metrics")
    assert (refused.status, refused.error["code"]) == (503, "METRICS_UNAVAILABLE")
    directory.unlink()
    wait_until(lambda: api.call("GET", "/metrics").status == 200, 10, "metrics to be there again")
    wait_until(lambda: answered(read(api), "/metrics", "200") > 0, 10, "requests to be counted again")


def test_without_a_directory_each_process_counts_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    make_directory()
    assert VARIABLE not in os.environ
    assert "each process answers /metrics for itself alone" in caplog.text


def test_writing_metrics_is_retried_a_second_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(multiprocess_metrics, "_own", multiprocess_metrics._Own())
    monkeypatch.setenv(VARIABLE, "")
    make_directory()
    for _ in range(2):
        wait_until(multiprocess_metrics.keep_files, 10, "files to be created")
        assert len(list(tmp_path.glob(f"{PREFIX}*/*.db"))) == len(multiprocess_metrics.FILES)
        multiprocess_metrics.give_up_files()
        assert not multiprocess_metrics.keep_files(), "a request must not rewrite them each time"
        assert not list(tmp_path.glob(f"{PREFIX}*/*.db"))
    multiprocess_metrics.remove_directory()


def test_a_directory_of_processes_in_another_namespace_is_left_alone(api: ApiServer, tmp_path: Path) -> None:
    alone = ("unshare", "--user", "--map-root-user", "--pid", "--fork")
    if subprocess.run([*alone, "true"], capture_output=True, timeout=10, check=False).returncode != 0:
        pytest.skip("no process id namespaces here")
    sweep = "from service.api.middleware.multiprocess_metrics import make_directory; make_directory()"
    subprocess.run(
        [*alone, sys.executable, "-c", sweep],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)},
        timeout=30,
        check=True,
    )
    # Its own unused directory is kept as well.
    assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 2
    assert answered(read(api), "/api/health") >= 1


def test_metrics_need_a_token_where_tokens_are_required(
    start_api: Callable[..., ApiServer], database_url: str
) -> None:
    api = start_api(AUTH="required")
    refused = api.call("GET", "/metrics")
    assert (refused.status, refused.error["code"]) == (401, "UNAUTHORIZED")
    token = make_token(database_url, "prometheus", "read")
    series = read(api, **bearer(token))
    assert answered(series, "/metrics", "401") == 1
    assert token not in str(series)


def test_a_process_with_an_empty_file_is_left_out(api: ApiServer, tmp_path: Path) -> None:
    [directory] = tmp_path.glob(f"{PREFIX}*")
    for kind in ("counter", "histogram", "gauge_livesum"):
        (directory / f"{kind}_999999999.db").touch()
    assert answered(read(api), "/api/health") >= 1


def test_metrics_accept_no_unknown_parameters(api: ApiServer) -> None:
    assert api.call("GET", "/metrics?surprise=1").error["code"] == "VALIDATION_ERROR"
    assert api.call("POST", "/metrics").status == 405


def test_a_client_that_disconnects_early_affects_no_other(api: ApiServer) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", api.port), 5) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert read(api)


def test_an_error_outside_requests_ends_no_process(caplog: pytest.LogCaptureFixture) -> None:
    worker = ApiWorker.__new__(ApiWorker)
    worker.tmp, worker.ppid, worker._stopping_since = SimpleNamespace(notify=lambda: None), os.getppid(), None
    worker.on_tick, worker._failed_tick = Path("/nowhere").rmdir, FailureNotice()
    worker.notify()
    worker.notify()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
