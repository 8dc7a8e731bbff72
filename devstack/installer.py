"""The pip that installs, and the user's settings that it sees. Loads on old Pythons too."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Other settings are dropped: PIP_USER, PIP_TARGET, PYTHONHOME and the like would install elsewhere or
# break the installation.
PASSED = (
    "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "NETRC", "XDG_CACHE_HOME", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY",
    "NO_PROXY",
)  # fmt: skip
# The settings that pip gets, from variables or its files: the package index, and how to reach it.
PIP_SETTINGS = (
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert", "proxy",
    "timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir", "keyring-provider", "use-feature",
)  # fmt: skip
# Where pip finds its configuration files.
PIP_FILES = ("PIP_CONFIG_FILE", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS")
# For `pip config`, which with `user = true` in such a file shows the user's own file alone.
ALL_OF_THEM = {"PIP_USER": "0", "PIP_GLOBAL": "0", "PIP_SITE": "0", "PIP_QUIET": "0"}


class Installer:
    """A pip that installs into an environment: Python's bundled one, or one found on this machine."""

    def __init__(self, python: Path) -> None:
        """`python` is the environment's. Exits with one line if there is no pip."""
        self._environment = passed(PASSED)
        self._pip, self._into = self._find(python)

    def command(self) -> "list[str]":
        """Return the command, to be followed by options and requirements."""
        return [*self._pip, *self._into, "install", "--progress-bar=off"]

    def environment(self) -> "dict[str, str]":
        """Return pip's whole environment."""
        from_files = {variable(name): value for name, value in self._read_files().items()}
        said = passed(tuple(variable(name) for name in PIP_SETTINGS))
        return {**self._environment, **from_files, **said, "PIP_CONFIG_FILE": os.devnull}

    def _find(self, python: Path) -> "tuple[list[str], list[str]]":
        into = ["--python", str(python)]
        outside = [sys.executable, "-m", "pip"]
        # Copying Python's own pip into the environment takes longest.
        if self._answers([*outside, *into, "--version"]):
            return outside, into
        if importlib.util.find_spec("ensurepip") and self._answers([str(python), "-m", "ensurepip"]):
            return [str(python), "-m", "pip"], []
        for name in ("pip3", "pip"):
            if self._answers([name, *into, "--version"]):
                return [name], into
        sys.exit(
            "Python's pip is missing on this machine: install it "
            "(on Debian and Ubuntu: apt install python3-venv)."
        )

    def _answers(self, command: "list[str]") -> bool:
        """Whether a command exists and succeeds."""
        if os.sep not in command[0] and shutil.which(command[0]) is None:
            return False
        quiet = subprocess.DEVNULL
        environment = {**self._environment, "PIP_CONFIG_FILE": os.devnull}
        return subprocess.call(command, stdout=quiet, stderr=quiet, env=environment) == 0

    def _read_files(self) -> "dict[str, str]":
        """Return the settings in pip's configuration files, as `pip config` reads them."""
        result = subprocess.run(
            [*self._pip, "config", "list"],
            stdout=subprocess.PIPE,
            env={**self._environment, **passed(PIP_FILES), **ALL_OF_THEM, "PYTHONUTF8": "1"},
            check=False,
        )
        found = {}
        # A command's section overrides the global one.
        for section in ("global", "install"):
            for line in result.stdout.decode(errors="replace").splitlines():
                name, _, text = line.partition("=")
                if name.startswith(section + ".") and name[len(section) + 1 :] in PIP_SETTINGS:
                    found[name[len(section) + 1 :]] = ast.literal_eval(text)
        return found


def passed(names: "tuple[str, ...]") -> "dict[str, str]":
    """Return those variables that are set, in upper or lower case, as proxies are."""
    both = {*names, *(name.lower() for name in names if name.endswith("_PROXY"))}
    return {name: value for name, value in os.environ.items() if name in both and value}


def variable(setting: str) -> str:
    """Return the environment variable of a pip setting."""
    return "PIP_" + setting.upper().replace("-", "_")
