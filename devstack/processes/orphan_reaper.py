"""A small process that kills the orphans of an owner that died without stopping them (`kill -9`).

It reads a pipe that only the owner holds open. When the pipe ends, it kills what the record still names;
after an orderly stop there is no record, and nothing to do. It shares the lock on the data directory with its
owner, so that no other owner starts there before it is done.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack.processes.orphans import ProcessRecord, kill_orphans, write_record
from devstack.project import PROJECT

END_LIMIT_S = 20.0


class OrphanReaper:
    """The owner's side. Not thread-safe. `owner_tag` is the value of OWNER_ENV of all children."""

    def __init__(self, record: Path, owner_tag: str, lock: int | None = None) -> None:
        """`lock` is an open file descriptor that the reaper process keeps open too."""
        self._record = record
        write_record(record, [])
        reading_end, self._writing_end = os.pipe()
        keep = () if lock is None else (lock,)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "devstack.processes.orphan_reaper", str(record), owner_tag],
                stdin=reading_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=PROJECT,
                start_new_session=True,
                pass_fds=keep,
            )
        finally:
            os.close(reading_end)

    def hold(self, children: Sequence[ProcessRecord]) -> None:
        """Record the children to kill if their owner dies now."""
        write_record(self._record, children)

    def is_alive(self) -> bool:
        """Whether the reaper process runs."""
        return self._process.poll() is None

    def release(self) -> None:
        """Release the reaper after all children have ended; wait until it has ended too."""
        self._record.unlink(missing_ok=True)
        os.close(self._writing_end)
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def main(record: Path, owner_tag: str) -> None:
    """Wait for the owner's end, then kill its orphans."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 1024):
        pass
    if record.exists():
        kill_orphans(record, owner_tag)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
