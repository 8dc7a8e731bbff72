"""The demo's HTTP calls, as any client of the API makes them."""

import http.client
import json
from typing import Any

from devstack.errors import StackError
from devstack.run.environment import Address

TIMEOUT_S = 6.0


class DemoClient:
    """A client of the API with one connection per request."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def register(self, gateways: dict[str, str], email: str, password: str) -> dict[str, str]:
        """Register a factory and its gateways (ids and URLs); return each gateway's row id and name."""
        factory = self._call("POST", "/api/factories", {"name": "Demo factory", "timezone": "Europe/Berlin"})
        names: dict[str, str] = {}
        for gateway_id, url in gateways.items():
            gateway = self._call(
                "POST",
                "/api/gateways",
                {
                    "factory_id": factory["id"],
                    "gateway_id": gateway_id,
                    "name": f"Hall {len(names) + 1}, {gateway_id}",
                    "url": url,
                    "email": email,
                    "password": password,
                },
            )
            names[gateway["id"]] = gateway["name"]
        return names

    def statuses(self, names: dict[str, str]) -> dict[str, dict[str, Any]]:
        """Get the status of each gateway by its name."""
        return {name: self._call("GET", f"/api/gateways/{row_id}/status") for row_id, name in names.items()}

    def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        """Return the response's JSON. Raises StackError for an error response."""
        host, port = self._address.reachable_host, self._address.port
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StackError(f"The API did not answer {method} {path}: {error}") from None
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise StackError(f"The API refused {method} {path}: {answer['error']['message']}")
        return answer
