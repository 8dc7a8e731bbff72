"""The workers' notifications, as a listener receives them."""

import psycopg

WAIT_S = 10


def notifications_until_now(listener: psycopg.Connection) -> int:
    """Count the listener's notifications until now."""
    listener.execute("SELECT pg_notify('gateways_changed', 'mark')")
    for count, notice in enumerate(listener.notifies(timeout=WAIT_S)):
        if notice.payload == "mark":
            return count
    raise AssertionError("the marker never came")
