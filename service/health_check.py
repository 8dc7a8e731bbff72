"""`python -m service.health_check`: whether the API on this machine lives. Exit status 0 or 1."""

import http.client
import sys

from service.environment import read_environment
from service.errors import ConfigurationError
from service.network.local_http import get


def main() -> int:
    """The exit status of the process."""
    try:
        settings = read_environment()
        host = settings.text("HOST", "127.0.0.1")
        port = settings.integer("PORT", 3000, minimum=1, maximum=65535)
        status = get(host, port, "/api/health").status
    except (ConfigurationError, OSError, http.client.HTTPException) as error:
        print(f"unhealthy: {error}", file=sys.stderr)
        return 1
    # With FORCE_HTTPS the answer is a redirection: whoever sends it lives.
    if status >= http.HTTPStatus.BAD_REQUEST:
        print(f"unhealthy: status {status}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
