"""How workers are told that there is something to look at."""

from service.database.query import Command, Count, Executor, Query

ANNOUNCE_CHANGES = Command("NOTIFY gateways_changed")
# NOTIFY itself takes no parameters.
ANNOUNCE_RETURN = Query("SELECT count(pg_notify('gateways_returning', %(group)s)) AS count", Count)


def announce_changes(executor: Executor) -> None:
    """Tells all workers to look: in a transaction, with its end. A hint: they look by themselves as well.

    What is committed before this begins is seen by who is told. Raises DatabaseError.
    """
    executor.execute(ANNOUNCE_CHANGES, {})


def announce_return(executor: Executor, group: str) -> None:
    """Tells all workers that gateways of this group, which could not be reached, come back."""
    executor.fetch_one(ANNOUNCE_RETURN, {"group": group})
