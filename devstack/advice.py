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
        return f"{path} belongs to {owner}, and you are {me}: run make as {owner}, or use a copy of your own."
    return f"Cannot go on: {error}"


def owner_of(path: Path) -> str:
    """Who owns the path, or the nearest folder above it that can be seen."""
    for each in (path, *path.absolute().parents):
        try:
            return name_of(each.lstat().st_uid)
        except OSError:
            continue
    return "another user"


def name_of(user_id: int) -> str:
    """A user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"user {user_id}"
