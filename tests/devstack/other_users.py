"""Helpers for tests that run as root and check what another user can do."""

import subprocess
import sys
from pathlib import Path

from devstack.project import PROJECT

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def open_up(tmp_path: Path) -> None:
    """Let every user enter the run's own temporary folders (never those above them)."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name == ".data":
            return
        folder.chmod(0o755)


def reachable_by_nobody(tmp_path: Path) -> bool:
    """Whether user nobody can run this python and reach the temporary folder."""
    data = next(folder for folder in tmp_path.parents if folder.name == ".data")
    trial = [
        *AS_NOBODY,
        sys.executable,
        "-c",
        f"import os; os.listdir({str(data)!r}); os.listdir({str(PROJECT)!r})",
    ]
    return subprocess.run(trial, capture_output=True, timeout=30, check=False).returncode == 0
