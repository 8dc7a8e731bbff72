"""An HTTP client on one loopback connection."""

import http.client
import json
from typing import Any

REQUEST_LIMIT_S = 10.0


class Client:
    """Keeps its connection open. For one thread."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_LIMIT_S)

    def get(self, path: str) -> Any:
        """Get a path's JSON. Raises OSError or http.client.HTTPException, also for an error response."""
        return json.loads(self.read(path))

    def read(self, path: str) -> bytes:
        """Get a path's body; raises as `get`."""
        try:
            response, body = self._ask(path)
        except (http.client.RemoteDisconnected, BrokenPipeError):
            # The server closed the idle connection.
            response, body = self._ask(path)
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"GET {path} was answered {response.status}")
        return body

    def answers(self, path: str) -> bool:
        """Whether the path returns a success."""
        try:
            self.read(path)
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _ask(self, path: str) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            self._connection.request("GET", path)
            response = self._connection.getresponse()
            return response, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()
