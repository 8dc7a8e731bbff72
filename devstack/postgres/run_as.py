"""Chooses the user that runs the embedded PostgreSQL, which refuses to run as root."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from devstack.errors import StackError

ROOT_USER = 0
USER_NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


@dataclass(frozen=True)
class RunAs:
    """How to start a program so that it does not run as root: with `prefix`, or as another user."""

    prefix: tuple[str, ...] = ()
    user_id: int | None = None
    group_id: int | None = None


def choose_run_as(
    effective_user: int, directory_owner: int | None, namespaces_allowed: bool, nobody: RunAs
) -> RunAs:
    """Choose the server's user from the current user and the owner of its data (None: no data yet)."""
    if effective_user != ROOT_USER:
        return RunAs()
    if directory_owner not in {None, ROOT_USER}:
        return nobody if directory_owner == nobody.user_id else RunAs(user_id=directory_owner)
    return RunAs(prefix=USER_NAMESPACE) if namespaces_allowed else nobody


def run_as_for(data_directory: Path) -> RunAs:
    """Choose for this process and machine. Raises StackError where root has no user for the server."""
    if os.geteuid() != ROOT_USER:
        return RunAs()
    owner = data_directory.stat().st_uid if data_directory.exists() else None
    chosen = choose_run_as(ROOT_USER, owner, namespaces_allowed(), nobody())
    if chosen.user_id is not None and chosen.group_id is None:
        return RunAs(user_id=chosen.user_id, group_id=data_directory.stat().st_gid)
    return chosen


@lru_cache(maxsize=1)
def namespaces_allowed() -> bool:
    """Whether root may start a program in a new user namespace on this machine."""
    if shutil.which(USER_NAMESPACE[0]) is None:
        return False
    trial = subprocess.run([*USER_NAMESPACE, "true"], capture_output=True, timeout=10, check=False)
    return trial.returncode == 0


def nobody() -> RunAs:
    """Return the unprivileged user of the system."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise StackError(
            "PostgreSQL must not run as root, and there is no user 'nobody': run make as an ordinary user."
        ) from None
    return RunAs(user_id=entry.pw_uid, group_id=entry.pw_gid)


def chown_tree(run_as: RunAs, directory: Path) -> None:
    """Give a directory and its contents to the user; nothing outside it is touched."""
    if run_as.user_id is None or run_as.group_id is None:
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, run_as.user_id, run_as.group_id, follow_symlinks=False)


def check_readable(run_as: RunAs, *paths: Path) -> None:
    """Check that the user can read the paths. Raises StackError naming the first that it cannot."""
    if run_as.user_id is None:
        return
    for path in paths:
        trial = subprocess.run(
            ["/bin/sh", "-c", 'test -r "$1" && test -x "$1"', "sh", str(path)],
            user=run_as.user_id,
            group=run_as.group_id,
            extra_groups=[],
            cwd="/",
            timeout=10,
            check=False,
        )
        if trial.returncode != 0:
            raise StackError(
                f"PostgreSQL must not run as root, and user {run_as.user_id} cannot reach {path}: run "
                "make as an ordinary user, or move the project to a folder that every user may enter."
            )
