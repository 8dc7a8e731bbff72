"""`python -m chaos.small_disk`: a PostgreSQL on a small disk of its own, that can be filled.

To be started in namespaces of its own (see COMMAND), in which it may mount: the disk ends with it. It prints
the server's URL as one JSON line, then obeys lines on standard input, and ends when that ends.
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from devstack.postgres.server import EmbeddedPostgres

COMMAND = ("unshare", "--user", "--map-root-user", "--mount")
SIZE_MB = 256
CHUNK = bytes(1024 * 1024)
# The write-ahead log must not be what fills the disk while the cluster is made.
SETTINGS = {"max_wal_size": "64MB", "min_wal_size": "32MB"}


def fill(path: Path) -> None:
    """Writes until nothing fits any more."""
    chunk = CHUNK
    with path.open("wb", buffering=0) as file:
        while chunk:
            try:
                file.write(chunk)
            except OSError:
                chunk = chunk[: len(chunk) // 2]


def main(disk: Path) -> int:
    """Runs until standard input ends."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=0755", "none", str(disk)],
        check=True,
        timeout=10,
    )
    ballast = disk / "ballast"
    with EmbeddedPostgres(disk / "postgres", SETTINGS) as server:
        print(json.dumps({"url": server.url()}), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            for line in sys.stdin:
                if line.strip() == "fill":
                    fill(ballast)
                else:
                    ballast.unlink(missing_ok=True)
                print("{}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
