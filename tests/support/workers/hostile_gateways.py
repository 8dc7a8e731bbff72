"""Gateways that send given bytes after the subscription."""

import json
from contextlib import suppress
from dataclasses import dataclass

from tests.support.raw_server import (
    TEXT,
    Peer,
    frame,
)


def message(message_type: str, data: object) -> bytes:
    """Return a frame with a gateway's message."""
    envelope = {"Type": message_type, "From": "SERV", "Target": "UI", "Data": data}
    return frame(TEXT, json.dumps(envelope).encode())


@dataclass(frozen=True)
class Gateway:
    """Accepts login and subscription correctly, then sends these bytes."""

    then: bytes
    for_ever: bool = False

    def __call__(self, peer: Peer) -> None:
        peer.receive()
        peer.send(message("RTN_LOGIN", {"Success": True}))
        peer.receive()
        peer.send(message("NOT_AP_CONN", {"Serial": 1, "Connected": 1}))
        peer.send(self.then)
        while self.for_ever:
            peer.send(self.then)
        with suppress(EOFError):
            while True:
                peer.receive()


# Deadlines that a busy machine meets.
UNHURRIED = {
    "LEASE_S": "6",
    "MAX_HANDSHAKES": "50",
    "TCP_TIMEOUT_S": "5",
    "UPGRADE_TIMEOUT_S": "5",
    "LOGIN_TIMEOUT_S": "5",
    "LIVENESS_TIMEOUT_S": "1.5",
    "CLOSE_TIMEOUT_S": "0.3",
}
