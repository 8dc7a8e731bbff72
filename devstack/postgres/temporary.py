"""A server that ends with a block of code, even if this process is killed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devstack.postgres.server import EmbeddedPostgres
from devstack.processes.owner import TemporaryOwner


@contextmanager
def temporary_postgres(directory: Path, settings: Mapping[str, str]) -> Iterator[EmbeddedPostgres]:
    """Run a server in a new directory; both end with the block, and also if we are killed inside it."""
    with TemporaryOwner(directory) as owner:
        server = EmbeddedPostgres(owner.directory / "postgres", settings)
        try:
            server.start(on_spawn=lambda pid: owner.add(server, pid))
            yield server
        finally:
            server.stop()
