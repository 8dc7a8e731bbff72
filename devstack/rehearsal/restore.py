"""A dump under load, restored into an empty cluster, started beside its original, and taken over."""

import http.client
import subprocess
import sys
from time import monotonic

from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox
from devstack.postgres.server import EmbeddedPostgres
from devstack.project import PROJECT
from devstack.rehearsal.fleet import Fleet, count_gateways
from devstack.rehearsal.installation import Installation, call
from devstack.rehearsal.load import Load, find_missing
from devstack.rehearsal.steps import Rehearsal
from devstack.run.environment import new_encryption_key

COMMAND_LIMIT_S = 120.0
# Under load for so many answers before the dump begins, and while nothing but the dump could make them fail.
ANSWERS_BEFORE = 100
ANSWERS_LIMIT_S = 60.0
HELD_LIMIT_S = 30.0


def rehearse_restore(sandbox: Sandbox) -> Rehearsal:
    """Raises StackError, StopAskedError."""
    rehearsal = Rehearsal("Backup and restore")
    key = new_encryption_key()
    with (
        EmbeddedPostgresOf(sandbox, "original") as original_server,
        EmbeddedPostgresOf(sandbox, "copy") as copy_server,
        Fleet(sandbox) as fleet,
    ):
        original = Installation(sandbox, "original-processes", original_server.url(), key)
        copy = Installation(sandbox, "copy-processes", copy_server.url(), key)
        sandbox.say("starting the original, with an API, two workers and a client that writes")
        original.migrate()
        original.start_api()
        with fleet.start_load(original.port) as load:
            for _ in range(2):
                original.start_worker()
            if fleet.wait_until_connected(original.database_url) is None:
                raise StackError("the original's gateways did not connect")
            back_up_and_restore(sandbox, rehearsal, load, (original, copy))
            run_beside(sandbox, rehearsal, fleet, copy)
        take_over(sandbox, rehearsal, fleet, (original, copy))
        copy.stop()
    return rehearsal


def back_up_and_restore(
    sandbox: Sandbox, rehearsal: Rehearsal, load: Load, installations: tuple[Installation, Installation]
) -> None:
    """Both with the commands that an operator has."""
    original, copy = installations
    file = sandbox.path / "millgate.dump"
    wait_for_answers(sandbox, load, ANSWERS_BEFORE)
    before, answered, failed = load.written(), load.answered, len(load.failures)
    sandbox.say("dumping it under load")
    said = run_command(original, "devstack.backup", "make", str(file))
    during = load.answered - answered
    rehearsal.check("the dump is complete, with its key", said[-2].rstrip("."), "Complete" in said[-1])
    measured = f"{during} answered, {len(load.failures) - failed} failed"
    rehearsal.check("writes go on while it is made", measured, len(load.failures) == failed and during > 0)
    sandbox.say("restoring it into an empty cluster")
    run_command(copy, "devstack.backup", "restore", str(file))
    missing = find_missing(copy.database_url, before)
    rehearsal.check(
        "nothing is missing that was answered 2xx before",
        f"{answered} writes to {len(before)} gateways, {len(missing)} missing",
        not missing,
    )


def run_beside(sandbox: Sandbox, rehearsal: Rehearsal, fleet: Fleet, copy: Installation) -> None:
    """The copy runs while its original does, and does nothing."""
    sandbox.say("starting API and worker on the copy, beside the original")
    copy.start_api()
    worker = copy.start_worker()
    said = sandbox.wait_until(lambda: "database is held" in worker.log_path.read_text(), HELD_LIMIT_S)
    status, body = call(copy.port, "GET", "/api/health/ready")
    details = body["error"]["details"] if status == http.HTTPStatus.SERVICE_UNAVAILABLE else []
    is_held = said is not None and "held" in [each["type"] for each in details]
    rehearsal.check("the copy is held beside its original", f"readiness {status}", is_held)
    live, connected = count_gateways(copy.database_url)
    measured = f"{connected} of {live} connected by it; at most {fleet.most_sessions} session to one"
    rehearsal.check("it opens no session", measured, (connected, fleet.most_sessions) == (0, 1))


def take_over(
    sandbox: Sandbox,
    rehearsal: Rehearsal,
    fleet: Fleet,
    installations: tuple[Installation, Installation],
) -> None:
    """The original is stopped, and the copy taken over."""
    original, copy = installations
    sandbox.say("stopping the original, and taking the copy over")
    original.stop()
    began = monotonic()
    run_command(copy, "devstack", "take-over")
    connected_at = fleet.wait_until_connected(copy.database_url)
    show_duration(rehearsal, "from the take-over until all are connected", began, connected_at)
    fleet.show_connected(rehearsal, copy.database_url)
    status = copy.status("/api/health/ready")
    rehearsal.check("the copy is ready", f"readiness {status}", status == http.HTTPStatus.OK)


def show_duration(rehearsal: Rehearsal, what: str, began: float, ended: float | None) -> None:
    """Adds a duration, which is not judged unless it has no end."""
    measured = "no end" if ended is None else f"{ended - began:.1f} s"
    rehearsal.check(what, measured, None if ended is not None else False)


def wait_for_answers(sandbox: Sandbox, load: Load, count: int) -> None:
    """Until that many more writes were answered. Raises StackError."""
    goal = load.answered + count
    if sandbox.wait_until(lambda: load.answered >= goal, ANSWERS_LIMIT_S) is None:
        raise StackError(f"the API does not answer writes: {load.failures[-1:]}")


def run_command(installation: Installation, *words: str) -> list[str]:
    """An operator's command on the installation's database; the lines it prints. Raises StackError."""
    result = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=PROJECT,
        env={**installation.environment, "ENCRYPTION_KEYS_OLD": ""},
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    if result.returncode != 0:
        raise StackError(f"{' '.join(words)} failed: {result.stdout}{result.stderr}")
    return result.stdout.splitlines()


class EmbeddedPostgresOf:
    """A new cluster in the sandbox. A context manager."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self._sandbox = sandbox
        self._server = EmbeddedPostgres(sandbox.path / name)

    def __enter__(self) -> EmbeddedPostgres:
        self._sandbox.start_server(self._server)
        return self._server

    def __exit__(self, *_: object) -> None:
        self._server.stop(limit_s=2)
