"""`python -m service.health_check`: whether the API on this machine lives. Exit status 0 or 1."""

import http.client
import sys

from service.environment import read_environment
from service.errors import ConfigurationError

TIMEOUT_S = 2.0
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def main() -> int:
    """The exit status of the process."""
    try:
        settings = read_environment()
        host = settings.text("HOST", "127.0.0.1")
        port = settings.integer("PORT", 3000, minimum=1, maximum=65535)
        status = get_status(ANY_ADDRESS.get(host, host), port, "/api/health")
    except (ConfigurationError, OSError, http.client.HTTPException) as error:
        print(f"unhealthy: {error}", file=sys.stderr)
        return 1
    # With FORCE_HTTPS the answer is a redirection: whoever sends it lives.
    if status >= http.HTTPStatus.BAD_REQUEST:
        print(f"unhealthy: status {status}", file=sys.stderr)
        return 1
    return 0


def get_status(host: str, port: int, path: str) -> int:
    """The status of the answer; a redirection is not followed. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
