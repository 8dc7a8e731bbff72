"""Programs that the bench needs beside its own environment: Node with packages, and wrk."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from devstack.errors import StackError

INSTALL_LIMIT_S = 300
OLDEST_NODE = 20
STAMP = ".installed"


class ToolMissingError(StackError):
    """A program is missing on this machine; the text says how to install it."""


def node() -> str:
    """Return the path of Node. Raises ToolMissingError."""
    path = shutil.which("node")
    if path is None or shutil.which("npm") is None:
        raise ToolMissingError("Node and npm are not on this machine.")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    major = said.strip().removeprefix("v").partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST_NODE:
        raise ToolMissingError(f"Node {OLDEST_NODE} or newer is needed, not {said.strip() or 'none'}.")
    return path


def install_packages(directory: Path) -> None:
    """Install the packages of the directory's package-lock.json if missing. Raises ToolMissingError."""
    wanted = hashlib.sha256((directory / "package-lock.json").read_bytes()).hexdigest()
    stamp = directory / "node_modules" / STAMP
    if stamp.exists() and stamp.read_text() == wanted:
        return
    node()
    command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False
    )
    if done.returncode != 0:
        raise ToolMissingError(f"npm could not install {directory.name}: {done.stderr.strip()[-300:]}")
    stamp.write_text(wanted)


def wrk() -> str:
    """Return the path of wrk; install it if we may. Raises ToolMissingError."""
    path = shutil.which("wrk")
    if path is None and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        for command in (("apt-get", "update", "-q"), ("apt-get", "install", "-q", "-y", "wrk")):
            subprocess.run(command, capture_output=True, timeout=INSTALL_LIMIT_S, check=False)
        path = shutil.which("wrk")
    if path is None:
        raise ToolMissingError("wrk is not here: install it (on Debian and Ubuntu: apt install wrk).")
    return path
