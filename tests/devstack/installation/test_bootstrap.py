"""`make install` in real projects: moved, copied, interrupted, with the user's own settings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.devstack.installation.projects import make, make_project, script_says, start_make
from tests.devstack.other_users import AS_NOBODY, open_up, reachable_by_nobody

MAKES = "Making a virtual environment in .venv"
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """With its packages installed."""
    folder = make_project(tmp_path / "project")
    assert MAKES in make(folder, "install")
    assert script_says(folder) == "works"
    return folder


def test_an_installation_is_kept_when_reached_by_another_path(project: Path) -> None:
    assert make(project, "install") == ""
    link = project.parent / "link"
    link.symlink_to(project)
    assert make(link, "install") == ""


def test_a_renamed_or_copied_folder_is_installed_again(project: Path) -> None:
    copy = project.parent / "Müllgäte → 2"
    shutil.copytree(project, copy, symlinks=True)
    assert MAKES in make(copy, "install")
    assert script_says(copy) == "works"
    # The first one is unchanged.
    assert make(project, "install") == ""
    moved = project.rename(project.parent / "renamed, with spaces")
    assert MAKES in make(moved, "install")
    assert script_says(moved) == "works"


def test_a_removed_or_replaced_python_causes_a_new_installation(project: Path) -> None:
    python = project / ".venv" / "bin" / "python"
    real = python.resolve()
    python.unlink()
    python.symlink_to(project.parent / "python-that-was-upgraded")
    assert MAKES in make(project, "install")
    # The same name for another Python, whose packages are elsewhere.
    other = project.parent / "another-python"
    shutil.copy(real, other)
    python.unlink()
    python.symlink_to(other)
    assert MAKES in make(project, "install")
    assert script_says(project) == "works"


def test_a_partial_installation_is_replaced(project: Path) -> None:
    (project / ".venv" / ".installing").touch()
    (project / ".venv" / "lib" / "half").mkdir()
    assert MAKES in make(project, "install")
    assert script_says(project) == "works"
    assert not (project / ".venv" / "lib" / "half").exists()


def test_two_installations_wait_for_each_other(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    both = [start_make(folder, "install") for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(MAKES in each for each in said) == [False, True]
    assert script_says(folder) == "works"


HOSTILE = {
    "PIP_USER": "1",
    "PIP_TARGET": "/nowhere/target",
    "PIP_PREFIX": "/nowhere/prefix",
    "PIP_ROOT": "/nowhere/root",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_DRY_RUN": "1",
    "PIP_NO_BINARY": ":all:",
    "PIP_CONSTRAINT": "/nowhere/constraints.txt",
    "PYTHON": "/nowhere/python",
    "PYTHONHOME": "/nowhere",
    "PYTHONSAFEPATH": "1",
    "PYTHONPATH": "/nowhere",
    "VIRTUAL_ENV": "/nowhere",
}
FILE = """
user = true
target = /nowhere/target
require-virtualenv = true
no-binary = :all:
dry-run = true
[install]
prefix = /nowhere/prefix
quiet = 3
"""


def test_user_settings_for_other_programs_have_no_effect(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    with (tmp_path / "pip.conf").open("a") as file:
        file.write(FILE)
    assert MAKES in make(folder, "install", **HOSTILE)
    assert script_says(folder) == "works"


def test_the_package_index_may_be_set_by_variables(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    changes = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "packages"),
    }
    make(folder, "install", **changes)
    assert script_says(folder) == "works"


def test_unsupported_characters_are_shown_as_question_marks(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    # Such locales have become rare, so one is made.
    locale = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(tmp_path / "de_DE.ISO-8859-1")]
    if shutil.which(locale[0]) is None or subprocess.run(locale, capture_output=True, check=False).returncode:
        pytest.skip("no locale with another character set can be made here")
    said = make(folder, "install", LOCPATH=str(tmp_path), LC_ALL="de_DE.ISO-8859-1")
    assert f"{MAKES} ?" in said
    assert script_says(folder) == "works"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_project_of_another_user_is_reported_in_one_line(project: Path) -> None:
    if not reachable_by_nobody(project):
        pytest.skip("the project lies where user nobody may not go")
    open_up(project)
    shutil.rmtree(project / ".data")
    result = subprocess.run(
        [*AS_NOBODY, sys.executable, "-I", "devstack/bootstrap.py", "local"],
        cwd=project,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    advice = "run make as root, use a copy of your own, or take this one over"
    begin = f"{project}/.data belongs to root, and you are nobody: {advice}"
    assert result.stderr == f"{begin} (sudo chown -R nobody {project}).\n"


def test_unusable_files_are_reported_in_one_line(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    (folder / ".data").write_text("A file in place of a folder.")
    process = start_make(folder, "install")
    said, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in said
    assert len([line for line in said.splitlines() if not line.startswith("make")]) == 1, said
    assert sys.executable not in said
