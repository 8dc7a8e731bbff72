"""Writes transitions, and reads them as events of the API."""

from typing import Any

import psycopg

from tests.support.api_server import REQUEST_LIMIT_S, ApiServer, Reply

# Running transactions of other tests on the same server delay the stream.
LIMIT_S = 60.0


# Well before stalled clients are disconnected (STOP_CLIENTS_S, 6 s).
STOP_S = 4.0


RECORD = """
    INSERT INTO gateway_events (
        gateway_id, at, from_state, to_state, attempt, reason_code, reason_message, reason_phase
    )
    SELECT %s, now(), 'connected', 'retrying', 1, 'connection_lost', %s, 'session' FROM generate_series(1, %s)
"""


def happen(database: psycopg.Connection, gateway: dict[str, Any], *messages: str) -> None:
    """Write transitions with these reasons."""
    for message in messages:
        database.execute(RECORD, [gateway["id"], message, 1])


def ask(api: ApiServer, after: str | None = None, wait: int | None = None, **query: object) -> Reply:
    """The answer."""
    words = {"after": after, "wait": wait, **query}
    # A client that disconnects early keeps its waiting slot until the timeout.
    return api.call(
        "GET",
        "/api/events?" + "&".join(f"{name}={words[name]}" for name in words if words[name] is not None),
        limit_s=REQUEST_LIMIT_S + (wait or 0),
    )


def part(
    api: ApiServer, after: str | None = None, wait: int | None = None, **query: object
) -> dict[str, Any]:
    """Return the response; assert that it is 200."""
    reply = ask(api, after, wait, **query)
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json
    assert set(answer) == {"data", "cursor", "has_more"}
    return answer
