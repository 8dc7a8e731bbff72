"""One line of advice for every error about a file."""

import errno
import os
import pwd
from pathlib import Path

import pytest

from devstack.advice import advice
from devstack.errors import StackError
from devstack.processes.directory_lock import DirectoryLock
from devstack.project import PROJECT

ME = pwd.getpwuid(os.geteuid()).pw_name
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


def denied(path: Path) -> OSError:
    return PermissionError(errno.EACCES, "Permission denied", str(path))


def test_each_error_has_its_advice(tmp_path: Path) -> None:
    full = advice(OSError(errno.ENOSPC, "No space left on device", str(tmp_path)))
    assert full == f"The disk is full ({tmp_path}): make room, then try again."
    closed = advice(OSError(errno.EROFS, "Read-only file system", str(tmp_path)))
    assert closed == f"{tmp_path} is on a file system that is read-only: use a copy of the project elsewhere."
    assert advice(denied(tmp_path)).startswith(f"{tmp_path} may not be read or written by {ME}, its owner")
    assert advice(OSError(errno.EIO, "Input/output error")).startswith("Cannot go on: ")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EROFS])
def test_data_elsewhere_are_named_and_the_project_is_not(number: int) -> None:
    for name in (None, "/elsewhere/data/lock"):
        said = advice(OSError(number, "Reason", name), Path("/elsewhere/data"))
        assert (name or "/elsewhere/data") in said
        assert "choose another folder (MILLGATE_DATA_DIR)." in said
        assert str(PROJECT) not in said


@pytest.mark.parametrize("folder", ["/dev/null", "/proc/x", "/dev/null/x"])
def test_a_file_in_place_of_a_folder_is_reported_in_one_line(folder: str) -> None:
    with pytest.raises(StackError, match="choose another folder") as caught:
        DirectoryLock(Path(folder) / "lock").acquire(wait_s=0)
    assert folder in str(caught.value)
    assert str(PROJECT) not in str(caught.value)


@ROOT_ONLY
def test_data_elsewhere_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devstack.advice.PROJECT", tmp_path / "project")
    folder = tmp_path / "data"
    folder.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    said = advice(denied(folder / "lock"), folder)
    assert "belongs to nobody" in said
    assert said.endswith(f"(sudo chown -R {ME} {folder}).")


@ROOT_ONLY
def test_the_owner_of_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.touch()
    os.chown(file.parent, nobody.pw_uid, nobody.pw_gid)
    begin = (
        f"belongs to nobody, and you are {ME}: run make as nobody, use a copy of your own, or take this one"
    )
    for path in (file, file.parent, file.parent / "absent", file.parent / "absent" / "more"):
        assert advice(denied(path)) == f"{path} {begin} over (sudo chown -R {ME} {PROJECT})."
