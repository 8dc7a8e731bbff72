"""What a person can do about a file that cannot be used. Loads on old versions of Python too."""

import errno
import os
import pwd
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def advice(error: OSError) -> str:
    """One line: which file, why, and what to do."""
    path = str(error.filename or "")
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


def owner_of(path: Path) -> str:
    """Who owns the path, or else the folder that it is in (or the nearest above that can be seen)."""
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
    """A user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"user {user_id}"
