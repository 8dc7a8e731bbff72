"""Makes `.venv` and installs the locked requirements: `python3 -I devstack/bootstrap.py local|dev|bench`.

Runs on whatever python3 a machine has, so it uses the standard library only and loads on old versions too.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
# The bench's peers bring much that Millgate should not see.
PLACES = {"bench": PROJECT / "bench" / ".venv"}
OLDEST = (3, 11)
NEWEST = (3, 14)
WAIT_LIMIT_S = 900
PIP_OPTIONS = ["--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"]


def main(kind: str) -> None:
    """Bring `.venv` up to date for `local` (run, demo) or `dev` (tests, checks too), or `bench/.venv`."""
    use_a_suitable_python()
    lock_file = PROJECT / ".data" / "install.lock"
    lock_file.parent.mkdir(exist_ok=True)
    with lock_file.open("w") as lock:
        wait_for_lock(lock.fileno())
        os.set_inheritable(lock.fileno(), True)
        if not is_installed(kind):
            install(kind)


def use_a_suitable_python() -> None:
    """Where ours is too old or too new, go on with another of this machine, or end with one line."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        other = shutil.which(f"python3.{minor}")
        if other:
            os.execv(other, [other, "-I", *sys.argv])  # noqa: S606
    sys.exit(
        f"Millgate needs Python 3.11 to 3.14, and this is {sys.version.split()[0]}: install one, "
        "or name one: make PYTHON=/path/to/python3.12 …"
    )


def wait_for_lock(lock: int) -> None:
    """Wait while another make installs."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                sys.exit("Another make has been installing for too long: end it and try again.")
            if not told:
                print("Another make is installing; waiting for it …", flush=True)
                told = True
            time.sleep(0.2)
        else:
            return


def is_installed(kind: str) -> bool:
    """Whether what is installed is what the lock file says; `dev` contains `local`."""
    if mark(kind).exists() or not venv_python(kind).exists():
        return False
    if stamp(kind).exists() and stamp(kind).read_text() == fingerprint(kind):
        return True
    return kind == "local" and is_installed("dev")


def venv(kind: str) -> Path:
    """Where it is installed."""
    return PLACES.get(kind, PROJECT / ".venv")


def venv_python(kind: str) -> Path:
    """The environment's python."""
    return venv(kind) / "bin" / "python"


def mark(kind: str) -> Path:
    """The file that is there while something is being installed."""
    return venv(kind) / ".installing"


def stamp(kind: str) -> Path:
    """The file that says what was installed."""
    return venv(kind) / f".installed-{kind}"


def requirements(kind: str) -> Path:
    """The lock file."""
    return PROJECT / f"requirements-{kind}.txt"


def fingerprint(kind: str) -> str:
    """What tells a complete installation; the place counts, for an environment cannot be moved."""
    return hashlib.sha256(requirements(kind).read_bytes()).hexdigest() + " " + str(venv(kind))


def install(kind: str) -> None:
    """Make the environment if there is none that works, and install into it.

    The mark `.installing` stays behind when somebody interrupts us: then the next call starts from nothing.
    """
    place = venv(kind)
    name = place.relative_to(PROJECT)
    if mark(kind).exists() or not works(venv_python(kind)):
        print(f"Making a virtual environment in {name} …", flush=True)
        shutil.rmtree(str(place), ignore_errors=True)
        run([sys.executable, "-m", "venv", "--without-pip", str(place)], f"Python could not make {name}.")
    mark(kind).touch()
    print(f"Installing the locked requirements ({requirements(kind).name}) …", flush=True)
    run(
        [*installer(venv_python(kind)), *PIP_OPTIONS, "-r", str(requirements(kind))],
        "The requirements could not be installed (see above). Is the network there? Millgate needs Linux "
        "with glibc 2.28 or newer on x86-64 or arm64, or macOS 11 or newer on Apple silicon.",
    )
    stamp(kind).write_text(fingerprint(kind))
    mark(kind).unlink()


def works(python: Path) -> bool:
    """Whether the environment's python is there and its own."""
    if not python.exists():
        return False
    question = f"import sys; sys.exit(not ({OLDEST} <= sys.version_info[:2] <= {NEWEST}))"
    return subprocess.run([str(python), "-I", "-c", question], check=False).returncode == 0


def installer(python: Path) -> "list[str]":
    """A pip that installs into the environment: Python's bundled one, or one that is on this machine."""
    own = [str(python), "-m", "pip"]
    into = ["--python", str(python), "install", "--progress-bar=off"]
    if answers([*own, "--version"]):
        return [*own, "install", "--progress-bar=off"]
    if importlib.util.find_spec("ensurepip") and answers([str(python), "-m", "ensurepip"]):
        return [*own, "install", "--progress-bar=off"]
    for pip in ([sys.executable, "-m", "pip"], ["pip3"], ["pip"]):
        if answers([*pip, "--python", str(python), "--version"]):
            return [*pip, *into]
    sys.exit(
        "Python's pip is missing on this machine: install it (on Debian and Ubuntu: apt install python3-pip)."
    )


def answers(command: "list[str]") -> bool:
    """Whether a command exists and succeeds."""
    if os.sep not in command[0] and shutil.which(command[0]) is None:
        return False
    quiet = subprocess.DEVNULL
    return subprocess.run(command, stdout=quiet, stderr=quiet, check=False).returncode == 0


def run(command: "list[str]", complaint: str) -> None:
    """Run a command and show what it says; end with one line if it fails."""
    # The command keeps the lock open too: if we are killed, the next make waits for its end.
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL, close_fds=False).returncode != 0:
        sys.exit(complaint)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit("Interrupted; the next make goes on from here.")
