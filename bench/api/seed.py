"""Seeds the database before a measurement: factories, gateways, and the state observed by workers."""

from typing import Any, LiteralString
from uuid import UUID

import psycopg

from bench.peers.fastapi.sealing import Sealer

FACTORIES = 200
PASSWORD = "a password of twenty"  # noqa: S105 - of gateways that are not there
CONNECTED_PERCENT = 95

# As in a plant: names that say where a gateway is, in no order; times to the millisecond, which all
# contestants can show.
INSERT_FACTORIES: LiteralString = """
INSERT INTO factories (name, location, timezone, metadata)
SELECT format('Mill %%s', lpad(i::text, 3, '0')), 'Hall ' || i %% 7, 'Europe/Berlin', '{"lines": 3}'
FROM generate_series(1, %(count)s::integer) AS i
"""

INSERT_GATEWAYS: LiteralString = """
INSERT INTO gateways (
    factory_id, device_id, name, model, firmware_version, url, email, sealed_password, metadata,
    created_at, updated_at, connect_requested_at
)
SELECT
    f.id,
    format('AP-%%s', lpad(i::text, 8, '0')),
    format(
        '%%s %%s %%s',
        (ARRAY['Press', 'Dryer', 'Winder', 'Boiler', 'Pulper', 'Crane', 'Pump', 'Fan'])[
            1 + (hashint4(i) & 7)
        ],
        (ARRAY['north', 'south', 'east', 'west'])[1 + (hashint4(i + 1) & 3)],
        lpad(i::text, 8, '0')
    ),
    'CTC-W' || i %% 5, '2.' || i %% 9 || '.1',
    format('ws://10.%%s.%%s.%%s:5000', i / 65536 %% 256, i / 256 %% 256, i %% 256),
    'plant-' || i %% 200 || '@example.com',
    %(sealed)s,
    jsonb_build_object('line', i %% 12, 'rack', 'R' || i %% 40),
    t.at, t.at, t.at
FROM generate_series(%(first)s::integer, %(last)s::integer) AS i
JOIN (SELECT id, row_number() OVER (ORDER BY name) - 1 AS number FROM factories) AS f
    ON i %% %(factories)s::integer = f.number,
    LATERAL (SELECT date_trunc('milliseconds', now()) - i * interval '1 millisecond' AS at) AS t
"""

INSERT_DESIRED_STATES: LiteralString = """
INSERT INTO desired_state_changes (gateway_id, at, is_wanted)
SELECT g.id, g.created_at, TRUE FROM gateways AS g
WHERE g.device_id BETWEEN %(first)s AND %(last)s AND g.deleted_at IS NULL
"""

# The seeding session is registered as the worker's, so its reports are valid while the session is open.
INSERT_WORKER: LiteralString = """
INSERT INTO workers (
    host, pid, version, session_pid, session_started_at, lease_duration, lease_expires_at
)
SELECT 'bench', 1, 'none', a.pid, a.backend_start, interval '1 day', now() + interval '1 day'
FROM pg_stat_activity AS a
WHERE a.pid = pg_backend_pid() AND NOT EXISTS (SELECT FROM workers WHERE host = 'bench')
"""

INSERT_CONNECTIONS: LiteralString = """
INSERT INTO gateway_connections (
    gateway_id, worker_id, epoch, state, state_since, attempt, next_attempt_at, observed_generation,
    connected_since, last_connected_at, last_seen_at, last_message_at, connects
)
SELECT
    g.id, w.id, w.epoch, s.state, g.created_at, 1,
    CASE WHEN s.state = 'retrying' THEN now() END, 1,
    CASE WHEN s.state = 'connected' THEN g.created_at END,
    g.created_at, g.created_at, g.created_at, 1
FROM workers AS w, gateways AS g,
    LATERAL (
        SELECT CASE
            WHEN hashtext(g.device_id) & 127 < %(connected)s THEN 'connected' ELSE 'retrying'
        END AS state
    ) AS s
WHERE w.host = 'bench' AND g.device_id BETWEEN %(first)s AND %(last)s AND g.deleted_at IS NULL
"""

SEAL: LiteralString = """
UPDATE gateways SET sealed_password = one.sealed
FROM unnest(%(ids)s::uuid[], %(sealed)s::bytea[]) AS one (id, sealed)
WHERE gateways.id = one.id
"""


def seed(connection: psycopg.Connection[Any], sealer: Sealer, first: int, last: int) -> None:
    """Adds the gateways with these numbers, all with the same sealed password, which no row can decrypt.

    The connection has to stay open: the seeded worker is alive while it is.
    """
    with connection.transaction():
        # Without the triggers: a plant of this size grows over years.
        connection.execute("SET LOCAL session_replication_role = replica")
        if first == 1:
            connection.execute(INSERT_FACTORIES, {"count": FACTORIES})
            connection.execute(INSERT_WORKER)
        sealed = sealer.seal(PASSWORD, UUID(int=0))
        connection.execute(
            INSERT_GATEWAYS, {"first": first, "last": last, "factories": FACTORIES, "sealed": sealed}
        )
        names = {"first": gateway_name(first), "last": gateway_name(last)}
        connection.execute(INSERT_DESIRED_STATES, names)
        connection.execute(INSERT_CONNECTIONS, {**names, "connected": 128 * CONNECTED_PERCENT // 100})


def gateway_name(number: int) -> str:
    """The gateway_id of the seeded gateway with this number."""
    return f"AP-{number:08d}"


def seal_each(connection: psycopg.Connection[Any], sealer: Sealer) -> None:
    """Seal every gateway's password for its row."""
    ids = [row[0] for row in connection.execute("SELECT id FROM gateways").fetchall()]
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(SEAL, {"ids": ids, "sealed": [sealer.seal(PASSWORD, one) for one in ids]})
    connection.execute("VACUUM FULL gateways")


def settle(connection: psycopg.Connection[Any]) -> None:
    """Flush and analyze, so that no work from seeding is left and plans know the tables."""
    connection.execute("VACUUM (ANALYZE)")
    connection.execute("CHECKPOINT")
