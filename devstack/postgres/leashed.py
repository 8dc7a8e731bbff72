"""A server that ends with a block of code, also when that is killed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devstack.postgres.server import EmbeddedPostgres
from devstack.processes.orphan_reaper import Leash
from devstack.processes.orphans import describe


@contextmanager
def leashed_postgres(directory: Path, settings: Mapping[str, str]) -> Iterator[EmbeddedPostgres]:
    """A running server that ends with the block, and also if we are killed inside it."""
    leash = Leash(directory / "children.json", str(directory))
    server = EmbeddedPostgres(directory / "postgres", settings)

    def hold(pid: int) -> None:
        child = describe(server.name, pid, server.stop_signal, server.stop_limit_s)
        leash.hold([child] if child else [])

    try:
        server.start(on_spawn=hold)
        yield server
    finally:
        server.stop()
        leash.release()
