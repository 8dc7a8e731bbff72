"""What a health check asks a server on this machine."""

import http.client
from typing import NamedTuple

TIMEOUT_S = 2.0
MAX_BODY_BYTES = 1024 * 1024
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class LocalResponse(NamedTuple):
    """Status and body of a response, the body as far as MAX_BODY_BYTES."""

    status: int
    body: bytes


def get(host: str, port: int, path: str) -> LocalResponse:
    """GET from a server that listens on `host`; follows no redirect. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection(_LOOPBACK_OF.get(host, host), port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return LocalResponse(response.status, response.read(MAX_BODY_BYTES))
    finally:
        connection.close()
