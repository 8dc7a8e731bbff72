"""How workers are told that there is something to look at."""

from collections.abc import Sequence

from service.database.engine.query import Command, Count, Executor, Query

ANNOUNCE_CHANGES = Command("NOTIFY gateways_changed")
ANNOUNCE_TRIAL = Command("NOTIFY connection_tests")
# NOTIFY itself takes no parameters. All in one statement: each commit that notifies takes a lock that all
# databases of the server share.
NOTIFY_RETURNS = Query(
    "SELECT count(pg_notify('gateways_returning', name)) AS count FROM unnest(%(groups)s::text[]) AS name",
    Count,
)


def announce_changes(executor: Executor) -> None:
    """Tells all workers to look: in a transaction, with its end. A hint: they look by themselves as well.

    What is committed before this begins is seen by who is told. Raises DatabaseError.
    """
    executor.execute(ANNOUNCE_CHANGES, {})


def notify_returns(executor: Executor, groups: Sequence[str]) -> None:
    """Tells all workers that gateways of these groups, which could not be reached, come back."""
    executor.fetch_one(NOTIFY_RETURNS, {"groups": list(groups)})


def announce_trial(executor: Executor) -> None:
    """Tells all workers that there is a trial to do."""
    executor.execute(ANNOUNCE_TRIAL, {})
