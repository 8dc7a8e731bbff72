"""`python -m workers.health_check`: whether the worker on this machine holds its lease. Exit status 0 or 1.

For containers. Reads the worker's own metrics, so METRICS_PORT must be set, and does not use the database.
"""

import http.client
import re
import sys

from service.environment import read_environment
from service.errors import ConfigurationError
from service.network.local_http import get


def main() -> int:
    """The exit status of the process."""
    try:
        settings = read_environment()
        host = settings.text("METRICS_HOST", "127.0.0.1")
        port = settings.integer("METRICS_PORT", 0, minimum=1, maximum=65535)
        left_s = find_lease_margin(get(host, port, "/metrics").body.decode())
    except (ConfigurationError, OSError, ValueError, http.client.HTTPException) as error:
        print(f"unhealthy: {error}", file=sys.stderr)
        return 1
    if left_s <= 0:
        print("unhealthy: the worker has no lease", file=sys.stderr)
        return 1
    return 0


def find_lease_margin(metrics: str) -> float:
    """The remaining seconds of the lease. Raises ValueError if the metrics lack it."""
    found = re.search(r"^millgate_lease_margin_seconds (\S+)$", metrics, re.MULTILINE)
    if found is None:
        raise ValueError("these are not a worker's metrics")
    return float(found[1])


if __name__ == "__main__":
    sys.exit(main())
