"""Inserts gateways into Millgate's database by SQL, with passwords sealed as the API seals them."""

from uuid import UUID

import psycopg

from bench.peers.fastapi.sealing import Sealer
from bench.worker.gateway_fleet import EMAIL, GatewayFleet

NEW_IDS = "SELECT uuidv7() FROM generate_series(1, %s)"
INSERT_FACTORY = "INSERT INTO factories (name) VALUES ('Mill') RETURNING id"
INSERT_GATEWAYS = """
INSERT INTO gateways (id, factory_id, device_id, name, url, email, sealed_password, desired_state)
SELECT g.id, %(factory_id)s, g.name, g.name, g.url, %(email)s, g.sealed, %(desired_state)s
FROM unnest(%(ids)s::uuid[], %(names)s::text[], %(urls)s::text[], %(sealed)s::bytea[])
    AS g (id, name, url, sealed)
"""


def seed(
    database_url: str, key: str, fleet: GatewayFleet, desired_state: str = "connected"
) -> dict[str, UUID]:
    """Insert every gateway of a fleet; return their row ids by name."""
    sealer = Sealer(key)
    with psycopg.connect(database_url, autocommit=True) as connection:
        ids = [row[0] for row in connection.execute(NEW_IDS, [len(fleet.names)])]
        [factory_id] = connection.execute(INSERT_FACTORY).fetchone() or [None]
        connection.execute(
            INSERT_GATEWAYS,
            {
                "factory_id": factory_id,
                "email": EMAIL,
                "desired_state": desired_state,
                "ids": ids,
                "names": fleet.names,
                "urls": [fleet.url(name) for name in fleet.names],
                "sealed": [sealer.seal(fleet.password, row_id) for row_id in ids],
            },
        )
        connection.execute("ANALYZE")
    return dict(zip(fleet.names, ids, strict=True))
