"""Measures PostgreSQL alone on the statements that every API needs: the ceiling for all contestants."""

import re
from urllib.parse import unquote, urlsplit

from bench.api.seed import seed, settle
from bench.environment import BenchEnvironment
from bench.peers.fastapi.sealing import Sealer
from bench.results import Section, median, number, table
from devstack.errors import StackError
from devstack.postgres.binaries import program

GATEWAYS = 10_000
CLIENTS = 16
ROUNDS, QUICK_ROUNDS = 3, 1
ROUND_S, QUICK_ROUND_S = 3, 1
FIND = """
SELECT
    g.id, g.factory_id, g.device_id, g.name, g.model, g.firmware_version, g.url, g.email, g.desired_state,
    g.generation, g.metadata, g.created_at, g.updated_at, g.deleted_at, g.version, c.last_seen_at
FROM gateways AS g LEFT JOIN gateway_connections AS c ON g.id = c.gateway_id
WHERE g.deleted_at IS NULL
"""
LIST = FIND + " ORDER BY g.name, g.id LIMIT "
SCRIPTS = {
    "GET one gateway": rf"""
\set number random(1, {GATEWAYS})
{FIND} AND g.device_id = 'AP-' || lpad(:number::text, 8, '0');
""",
    "list, limit 20, without its total": LIST + "21;",
    "list, limit 100, without its total": LIST + "101;",
    "the total of a list": "SELECT count(*) FROM gateways WHERE deleted_at IS NULL;",
    "POST, without sealing": """
INSERT INTO gateways (factory_id, device_id, name, url, email, sealed_password)
SELECT g.factory_id, 'ceiling-' || uuidv7(), 'Dryer', 'ws://10.0.0.1:5000', 'a@example.com', g.sealed_password
FROM gateways AS g WHERE g.device_id = 'AP-00000001';
""",
}
_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def find_ceiling(env: BenchEnvironment) -> Section:
    """Measures each statement by itself, prepared. Raises StackError, StopAskedError."""
    connection = env.connect()
    seed(connection, Sealer(env.key), 1, GATEWAYS)
    settle(connection)
    rates: dict[str, list[float]] = {name: [] for name in SCRIPTS}
    for turn in range(QUICK_ROUNDS if env.is_quick else ROUNDS):
        env.say(f"round {turn + 1}")
        for name, script in SCRIPTS.items():
            rates[name].append(rate(env, script))
    rows = [(name, number(median(measured))) for name, measured in rates.items()]
    return Section(
        "Ceiling",
        "What PostgreSQL alone can do of this is among the figures.",
        f"Statements a second, asked for by pgbench on the same machine ({CLIENTS} clients, prepared):\n\n"
        + table(["", "a second"], rows),
    )


def rate(env: BenchEnvironment, script: str) -> float:
    """Return how often per second a script runs. Raises StackError, StopAskedError."""
    path = env.directory / "script.sql"
    path.write_text(script)
    where = urlsplit(env.database_url)
    duration_s = QUICK_ROUND_S if env.is_quick else ROUND_S
    said = env.run(
        "pgbench",
        (
            str(program("pgbench")),
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={CLIENTS}",
            f"--time={duration_s}",
            f"--file={path}",
        ),
        limit_s=duration_s + 20,
        # Not on the command line, which every user of this machine may read.
        environment={
            "PGHOST": where.hostname or "",
            "PGPORT": str(where.port),
            "PGUSER": unquote(where.username or ""),
            "PGPASSWORD": unquote(where.password or ""),
            "PGDATABASE": where.path.removeprefix("/"),
        },
    )
    found = _RATE.search(said)
    if found is None:
        raise StackError(f"pgbench measured nothing: {said[-300:]}")
    return float(found[1])
