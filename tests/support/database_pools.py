"""Connection pools for tests, with long timeouts and a fixed size."""

from service.config import DatabaseConfig

WAIT_S = 10.0


def config_for(url: str, connections: int = 1) -> DatabaseConfig:
    """Return the configuration of a pool with exactly that many connections."""
    return DatabaseConfig(
        url=url,
        pool_min=connections,
        pool_max=connections,
        pool_timeout_s=WAIT_S,
        connect_timeout_s=WAIT_S,
        statement_timeout_s=WAIT_S,
    )
