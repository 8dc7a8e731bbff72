"""A client of server-sent events, which shows every event."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any, Self

READ_LIMIT_S = 30.0


@dataclass(frozen=True)
class Event:
    """One event."""

    name: str
    data: dict[str, Any]
    id: str | None


class EventSource:
    """One stream. Use it as a context; `url` names a server on this machine."""

    def __init__(self, port: int, path: str = "/api/events", **headers: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=READ_LIMIT_S)
        sent: Mapping[str, str] = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", path, headers={"Accept": "text/event-stream", **sent})
        self._socket: socket.socket = self._connection.sock
        self.response: HTTPResponse = self._connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["Content-Type"].startswith("text/event-stream")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Go away, as a tab does that is closed."""
        self.response.close()
        self._connection.close()

    def next(self) -> Event | None:
        """The next event; None at the end of the stream. Raises TimeoutError."""
        fields: dict[str, str] = {}
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "data" in fields:
                return Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
            else:
                fields.clear()
        return None

    def until(self, name: str) -> Event:
        """The next event of this name; others are passed over. Heartbeats keep this from timing out."""
        while (event := self.next()) is not None:
            if event.name == name:
                return event
        raise AssertionError(f"the stream ended before {name}")

    def rest(self) -> list[Event]:
        """What comes until the stream ends."""
        events = []
        while (event := self.next()) is not None:
            events.append(event)
        return events
