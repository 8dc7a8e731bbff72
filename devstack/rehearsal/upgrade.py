"""An upgrade from a version before, under load: side by side, or with a stop where a migration needs one."""

from time import monotonic

from devstack.errors import StackError
from devstack.harness.sandbox import Sandbox
from devstack.rehearsal.fleet import Fleet
from devstack.rehearsal.installation import WORKER_STOP_LIMIT_S, Installation
from devstack.rehearsal.load import Load, find_missing
from devstack.rehearsal.restore import EmbeddedPostgresOf, show_duration, wait_for_answers
from devstack.rehearsal.steps import Rehearsal
from devstack.rehearsal.versions import Version
from devstack.run.environment import new_encryption_key

WORKERS = 2
ANSWERS = 50
"""Writes between two steps."""


def rehearse_upgrade(sandbox: Sandbox, version: Version) -> Rehearsal:
    """Raises StackError, StopAskedError."""
    kind = "with a stop" if version.stop_for else "side by side"
    rehearsal = Rehearsal(f"Upgrade from {version.name} ({version.commit}), {kind}")
    new = [each.version for each in version.new_migrations]
    shown = f"{len(new)} new" + (f", {new[0]} to {new[-1]}" if new else "")
    rehearsal.check("migrations", shown, None)
    name, key = f"upgrade-{version.commit}", new_encryption_key()
    with EmbeddedPostgresOf(sandbox, name) as server, Fleet(sandbox) as fleet:
        old = Installation(sandbox, f"{name}-old", server.url(), key, version.project)
        this = Installation(sandbox, f"{name}-new", server.url(), key)
        sandbox.say(f"starting {version.name}, with an API, {WORKERS} workers and a client that writes")
        old.migrate()
        old.start_api()
        with fleet.start_load(old.port) as load:
            for _ in range(WORKERS):
                old.start_worker()
            if fleet.wait_until_connected(server.url()) is None:
                raise StackError(f"the gateways of {version.name} did not connect")
            wait_for_answers(sandbox, load, ANSWERS)
            upgrade = stop_and_upgrade if version.stop_for else upgrade_side_by_side
            began = monotonic()
            upgrade(sandbox, rehearsal, load, (old, this))
            if version.stop_for:
                connected_at = fleet.wait_until_connected(server.url())
                show_duration(rehearsal, "until all gateways are connected again", began, connected_at)
            wait_for_answers(sandbox, load, ANSWERS)
        fleet.show_connected(rehearsal, server.url())
        missing = find_missing(server.url(), load.written())
        measured = f"{load.answered} writes, {len(missing)} missing"
        rehearsal.check("nothing is missing that was answered 2xx", measured, not missing)
        this.stop()
    return rehearsal


def upgrade_side_by_side(
    sandbox: Sandbox, rehearsal: Rehearsal, load: Load, installations: tuple[Installation, Installation]
) -> None:
    """Migrate, then one worker after the other, then the API: as docs/production.md says."""
    old, new = installations
    failed = len(load.failures)
    sandbox.say("migrating beside the old processes")
    began = monotonic()
    new.migrate()
    rehearsal.check("migrate beside the old processes", f"{monotonic() - began:.1f} s", None)
    wait_for_answers(sandbox, load, ANSWERS)
    sandbox.say("replacing the workers one by one")
    for worker in old.workers:
        new.start_worker()
        wait_for_answers(sandbox, load, ANSWERS)
        worker.stop(WORKER_STOP_LIMIT_S)
    sandbox.say("replacing the API")
    load.port = new.start_api()
    wait_for_answers(sandbox, load, ANSWERS)
    old.stop_api()
    lost = load.failures[failed:]
    measured = f"{len(lost)} failed {lost[:3] or ''}".strip()
    rehearsal.check("writes go on all the time", measured, not lost)


def stop_and_upgrade(
    sandbox: Sandbox, rehearsal: Rehearsal, load: Load, installations: tuple[Installation, Installation]
) -> None:
    """Stop everything, migrate, start the new version. Meanwhile writes fail, and no gateway is connected."""
    old, new = installations
    sandbox.say("stopping the old processes, migrating, starting the new ones")
    began = monotonic()
    old.stop()
    new.migrate()
    load.port = new.start_api()
    for _ in range(WORKERS):
        new.start_worker()
    rehearsal.check("without an API and workers for", f"{monotonic() - began:.1f} s", None)
