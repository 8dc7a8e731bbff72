"""How workers are told that there is something to look at."""

from service.database.query import Command, Executor

ANNOUNCE_CHANGES = Command("NOTIFY gateways_changed")


def announce_changes(executor: Executor) -> None:
    """Tells all workers to look: in a transaction, with its end. A hint: they look by themselves as well.

    What is committed before this begins is seen by who is told. Raises DatabaseError.
    """
    executor.execute(ANNOUNCE_CHANGES, {})
