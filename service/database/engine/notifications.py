"""Notifications to workers. They are hints: workers poll as well."""

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
    """Notifies all workers of changed gateways; in a transaction, when it commits.

    Workers then see whatever was committed before this call. Raises DatabaseError.
    """
    executor.execute(NOTIFY_GATEWAYS_CHANGED, {})


def notify_recoveries(executor: Executor, groups: Sequence[str]) -> None:
    """Notifies all workers that gateways of these groups can be reached again."""
    executor.fetch_one(NOTIFY_RECOVERIES, {"groups": list(groups)})


def notify_connection_test(executor: Executor) -> None:
    """Notifies all workers of a waiting connection test."""
    executor.execute(NOTIFY_CONNECTION_TEST, {})
