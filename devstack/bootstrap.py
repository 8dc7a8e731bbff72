"""Makes `.venv` and installs the locked requirements: `python3 -I devstack/bootstrap.py local|dev|bench`.

Runs on whatever python3 a machine has, so it uses the standard library only and loads on old versions too.
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

# The bench's peers bring much that Millgate should not see.
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
    if stamp(kind).exists() and stamp(kind).read_bytes() == fingerprint(kind):
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


def fingerprint(kind: str) -> bytes:
    """What tells a complete installation."""
    return hashlib.sha256(requirements(kind).read_bytes()).hexdigest().encode() + whereabouts(kind)


def whereabouts(kind: str) -> bytes:
    """The place, from which an environment cannot be moved, and the Python, with which it works alone."""
    return b" ".join([b"", os.fsencode(venv(kind)), os.fsencode(os.path.realpath(venv_python(kind)))])


def install(kind: str) -> None:
    """Make the environment if there is none that works, and install into it.

    The mark `.installing` stays behind when somebody interrupts us: then the next call starts from nothing.
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
    """Whether the environment's python is there and its own, and nothing was moved or upgraded since."""
    python = venv_python(kind)
    if not python.exists():
        return False
    if not all(each.read_bytes().endswith(whereabouts(kind)) for each in venv(kind).glob(".installed-*")):
        return False
    question = f"import sys; sys.exit(not ({OLDEST} <= sys.version_info[:2] <= {NEWEST}))"
    return subprocess.call([str(python), "-I", "-c", question]) == 0


def remove(place: Path) -> None:
    """An environment, or a link to one. Raises OSError."""
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        try:
            shutil.rmtree(str(place))
        except OSError as error:
            # It names the files within without the folder that they are in.
            raise OSError(error.errno, error.strerror, str(place)) from None


def run(command: "list[str]", environment: "dict[str, str]", complaint: str) -> None:
    """Run a command and show what it says; end with one line if it fails."""
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
