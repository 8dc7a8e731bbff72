"""Advice on files that cannot be used. Loads on old versions of Python too."""

import errno
import os
import pwd
from pathlib import Path

from devstack.project import PROJECT


def advice(error: OSError, folder: Path = PROJECT) -> str:
    """Return one line: which file, why, and what to do. `folder`: the project's, or that of the data."""
    path = str(error.filename or "")
    if PROJECT not in (folder, *folder.parents):
        return advice_elsewhere(error, path or str(folder), folder)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full ({path or PROJECT}): make room, then try again."
    if error.errno == errno.EROFS:
        return f"{path} is on a file system that is read-only: use a copy of the project elsewhere."
    if error.errno in {errno.EACCES, errno.EPERM} and path:
        owner, me = owner_of(Path(path)), name_of(os.geteuid())
        if owner == me:
            return f"{path} may not be read or written by {me}, its owner: see its permissions (chmod)."
        return (
            f"{path} belongs to {owner}, and you are {me}: run make as {owner}, use a copy of your own, "
            f"or take this one over (sudo chown -R {me} {PROJECT})."
        )
    return f"Cannot go on: {error}"


def advice_elsewhere(error: OSError, path: str, folder: Path) -> str:
    """Return the same for data outside the project."""
    another = "choose another folder (MILLGATE_DATA_DIR)"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full ({path}): make room, or {another}."
    if error.errno in {errno.EACCES, errno.EPERM}:
        owner, me = owner_of(Path(path)), name_of(os.geteuid())
        if owner != me:
            return (
                f"{path} belongs to {owner}, and you are {me}: run make as {owner}, {another}, "
                f"or take this one over (sudo chown -R {me} {folder})."
            )
    return f"{path} cannot be used ({error.strerror}): {another}."


def owner_of(path: Path) -> str:
    """Return the owner of the path, or of the nearest visible folder above it."""
    owners = []
    for each in (path, *path.absolute().parents):
        try:
            owners.append(each.lstat().st_uid)
        except OSError:
            continue
        if len(owners) == 2 or owners[0] != os.geteuid():
            break
    others = [owner for owner in owners if owner != os.geteuid()]
    return name_of((others or owners or [os.geteuid()])[0])


def name_of(user_id: int) -> str:
    """Return a user's name, or the number if it has none."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"user {user_id}"
