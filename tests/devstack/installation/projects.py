"""A project folder in which `make install` installs one small package, fast and without the network."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from devstack.project import PROJECT

LIMIT_S = 120
WHEEL = "tiny-1.0-py3-none-any.whl"
FILES = {
    "tiny.py": "def main():\n    print('works')\n",
    "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/entry_points.txt": "[console_scripts]\ntiny = tiny:main\n",
}


def make_project(folder: Path) -> Path:
    """Make the folder with everything to install; a pip.conf next to it names the package index."""
    folder.mkdir(parents=True)
    shutil.copytree(
        PROJECT / "devstack", folder / "devstack", ignore=shutil.ignore_patterns("__pycache__"), symlinks=True
    )
    shutil.copy(PROJECT / "Makefile", folder)
    packages = folder.parent / "packages"
    packages.mkdir(exist_ok=True)
    digest = write_wheel(packages / WHEEL)
    (folder / "requirements-local.txt").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    (folder.parent / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {packages}\n")
    return folder


def write_wheel(path: Path) -> str:
    """Write a wheel with a script; return its SHA-256."""
    record = "".join(f"{name},sha256={digest_of(text)},{len(text)}\n" for name, text in FILES.items())
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**FILES, "tiny-1.0.dist-info/RECORD": record}.items():
            wheel.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_of(text: str) -> str:
    """Return the digest in a wheel's format."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def user_environment(folder: Path, changes: Mapping[str, str]) -> dict[str, str]:
    """Return a minimal user's environment with `changes`."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PIP_CONFIG_FILE": str(folder.parent / "pip.conf"),
        **changes,
    }


def start_make(folder: Path, *words: str, **changes: str) -> subprocess.Popen[str]:
    """Start `make` with these arguments in the folder."""
    return subprocess.Popen(
        ["make", f"PYTHON={sys.executable}", *words],
        cwd=folder,
        env=user_environment(folder, changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def make(folder: Path, *words: str, **changes: str) -> str:
    """Run `make` successfully; return its output."""
    process = start_make(folder, *words, **changes)
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said
    return said


def script_says(folder: Path) -> str:
    """Return the output of the installed package's script."""
    script = folder / ".venv" / "bin" / "tiny"
    return subprocess.run([script], capture_output=True, text=True, timeout=30, check=True).stdout.strip()
