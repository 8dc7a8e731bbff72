"""Makes `.venv` and installs the locked requirements: `python3 -I devstack/bootstrap.py local|dev|bench`.

Runs on any python3, so it uses the standard library only and loads on old versions too.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

# Our folder is not on an isolated Python's path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from devstack.advice import advice
from devstack.installer import PASSED, Installer, passed
from devstack.project import PROJECT

# The bench's peers have many dependencies that Millgate must not see.
PLACES = {"bench": PROJECT / "bench" / ".venv"}
OLDEST = (3, 11)
NEWEST = (3, 14)
WAIT_LIMIT_S = 900
PIP_OPTIONS = ["--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"]


def main(kind: str) -> None:
    """Bring `.venv` up to date for `local` (run, demo) or `dev` (tests, checks too), or `bench/.venv`."""
    use_a_suitable_python()
    # "…" is not a character of every terminal.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    lock_file = PROJECT / ".data" / "install.lock"
    lock_file.parent.mkdir(exist_ok=True)
    with lock_file.open("w") as lock:
        wait_for_lock(lock.fileno())
        os.set_inheritable(lock.fileno(), True)
        if not is_installed(kind):
            install(kind)


def use_a_suitable_python() -> None:
    """If this Python is too old or too new, restart with another one, or exit with one line."""
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
    announced = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                sys.exit("Another make has been installing for too long: end it and try again.")
            if not announced:
                print("Another make is installing; waiting for it …", flush=True)
                announced = True
            time.sleep(0.2)
        else:
            return


def is_installed(kind: str) -> bool:
    """Whether the installation matches the lock file; `dev` contains `local`."""
    if mark(kind).exists() or not venv_python(kind).exists():
        return False
    if stamp(kind).exists() and stamp(kind).read_bytes() == fingerprint(kind):
        return True
    return kind == "local" and is_installed("dev")


def venv(kind: str) -> Path:
    """Return the environment's folder."""
    return PLACES.get(kind, PROJECT / ".venv")


def venv_python(kind: str) -> Path:
    """Return the environment's python."""
    return venv(kind) / "bin" / "python"


def mark(kind: str) -> Path:
    """Return the file that exists while an installation runs."""
    return venv(kind) / ".installing"


def stamp(kind: str) -> Path:
    """Return the file that records what was installed."""
    return venv(kind) / f".installed-{kind}"


def requirements(kind: str) -> Path:
    """Return the lock file."""
    return PROJECT / f"requirements-{kind}.txt"


def fingerprint(kind: str) -> bytes:
    """Return the fingerprint of a complete installation."""
    return hashlib.sha256(requirements(kind).read_bytes()).hexdigest().encode() + whereabouts(kind)


def whereabouts(kind: str) -> bytes:
    """Return the folder and the Python that an environment is bound to."""
    return b" ".join([b"", os.fsencode(venv(kind)), os.fsencode(os.path.realpath(venv_python(kind)))])


def install(kind: str) -> None:
    """Make the environment unless a working one exists, and install into it.

    The mark `.installing` remains after an interruption: then the next call starts from nothing.
    """
    place = venv(kind)
    name = place.relative_to(PROJECT)
    if mark(kind).exists() or not works(kind):
        print(f"Making a virtual environment in {name} …", flush=True)
        remove(place)
        place.mkdir()
        mark(kind).touch()
        run(
            [sys.executable, "-m", "venv", "--without-pip", str(place)],
            passed(PASSED),
            f"Python could not make {name}.",
        )
    mark(kind).touch()
    print(f"Installing the locked requirements ({requirements(kind).name}) …", flush=True)
    installer = Installer(venv_python(kind))
    run(
        [*installer.command(), *PIP_OPTIONS, "-r", str(requirements(kind))],
        installer.environment(),
        "The requirements could not be installed (see above). Is there a network, and room on the disk? "
        "Millgate needs Linux with glibc 2.28 or newer on x86-64 or arm64, or macOS 11 or newer on Apple "
        "silicon.",
    )
    stamp(kind).write_bytes(fingerprint(kind))
    mark(kind).unlink()


def works(kind: str) -> bool:
    """Whether the environment's python exists and is its own, and nothing was moved or upgraded since."""
    python = venv_python(kind)
    if not python.exists():
        return False
    if not all(each.read_bytes().endswith(whereabouts(kind)) for each in venv(kind).glob(".installed-*")):
        return False
    question = f"import sys; sys.exit(not ({OLDEST} <= sys.version_info[:2] <= {NEWEST}))"
    return subprocess.call([str(python), "-I", "-c", question]) == 0


def remove(place: Path) -> None:
    """Remove an environment, or a link to one. Raises OSError."""
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        try:
            shutil.rmtree(str(place))
        except OSError as error:
            # The error names files inside the folder without the folder.
            raise OSError(error.errno, error.strerror, str(place)) from None


def run(command: "list[str]", environment: "dict[str, str]", complaint: str) -> None:
    """Run a command and show its output; exit with one line if it fails."""
    # The command keeps the lock open too: if we are killed, the next make waits for its end.
    if subprocess.call(command, env=environment, stdin=subprocess.DEVNULL, close_fds=False) != 0:
        sys.exit(complaint)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit("Interrupted; the next make goes on from here.")
    except OSError as error:
        sys.exit(advice(error))
