"""How workers are told that there is something to look at."""

from collections.abc import Sequence

from service.database.engine.query import Command, Count, Executor, Query

NOTIFY_GATEWAYS_CHANGED = Command("NOTIFY gateways_changed")
NOTIFY_CONNECTION_TEST = Command("NOTIFY connection_tests")
# NOTIFY itself takes no parameters. All in one statement: each commit that notifies takes a lock that all
# databases of the server share.
NOTIFY_RECOVERIES = Query(
    "SELECT count(pg_notify('gateways_returning', name)) AS count FROM unnest(%(groups)s::text[]) AS name",
    Count,
)


def notify_gateways_changed(executor: Executor) -> None:
    """Tells all workers to look: in a transaction, with its end. A hint: they look by themselves as well.

    What is committed before this begins is seen by who is told. Raises DatabaseError.
    """
    executor.execute(NOTIFY_GATEWAYS_CHANGED, {})


def notify_recoveries(executor: Executor, groups: Sequence[str]) -> None:
    """Tells all workers that gateways of these groups, which could not be reached, come back."""
    executor.fetch_one(NOTIFY_RECOVERIES, {"groups": list(groups)})


def notify_connection_test(executor: Executor) -> None:
    """Tells all workers that there is a trial to do."""
    executor.execute(NOTIFY_CONNECTION_TEST, {})
