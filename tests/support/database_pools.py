"""Pools for tests: patient, and of a size that is known."""

from service.config import DatabaseConfig

WAIT_S = 10.0


def config_for(url: str, connections: int = 1) -> DatabaseConfig:
    """So many connections, never more and never fewer."""
    return DatabaseConfig(
        url=url,
        pool_min=connections,
        pool_max=connections,
        pool_timeout_s=WAIT_S,
        connect_timeout_s=WAIT_S,
        statement_timeout_s=WAIT_S,
    )
