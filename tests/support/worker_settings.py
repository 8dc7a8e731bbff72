"""Settings of the tests' workers, with short times."""

import base64
from collections.abc import Mapping

from service.environment import Environment
from workers.config import WorkerConfig

KEY = base64.b64encode(bytes(range(32))).decode()
EMAIL = "plant@example.com"
PASSWORD = "correct horse"

SHORT: Mapping[str, str] = {
    "LEASE_S": "2",
    "HEARTBEAT_S": "0.3",
    "LEASE_MARGIN_S": "0.3",
    "POLL_INTERVAL_S": "0.2",
    "DRAIN_TIMEOUT_S": "5",
    "REPORT_INTERVAL_S": "0.02",
    "SUBSCRIBE_GRACE_S": "0.1",
    "BACKOFF_INITIAL_S": "0.1",
    "BACKOFF_MAX_S": "1",
    "PING_INTERVAL_S": "0.2",
    "LIVENESS_TIMEOUT_S": "0.8",
    "TCP_TIMEOUT_S": "0.5",
    "UPGRADE_TIMEOUT_S": "0.5",
    "LOGIN_TIMEOUT_S": "0.5",
    "CLOSE_TIMEOUT_S": "1",
    "LOGIN_RETRY_S": "0.1",
    "LOGIN_QUARANTINE_S": "30",
    "FRESHNESS_S": "0.3",
}
# For tests of silent gateways before the worker detects the silence.
PATIENT: Mapping[str, str] = {"PING_INTERVAL_S": "15", "LIVENESS_TIMEOUT_S": "25"}


def worker_environment(database_url: str, changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a worker."""
    return {"DATABASE_URL": database_url, "ENCRYPTION_KEY": KEY, **SHORT, **changes}


def worker_config(database_url: str, **changes: str) -> WorkerConfig:
    """Return the same as a configuration."""
    return WorkerConfig.read(Environment(worker_environment(database_url, changes)))
