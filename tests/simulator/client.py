"""A client that sends exactly the given messages, valid or not."""

import json
from typing import Any

import websocket

Message = dict[str, Any]
TIMEOUT_S = 5.0
EMAIL, PASSWORD = "plant@example.com", "secret"


class Client:
    """One WebSocket to a simulated gateway. Every wait ends after 5 s."""

    def __init__(self, url: str, **options: Any) -> None:
        self.socket: Any = websocket.create_connection(
            url, timeout=TIMEOUT_S, redirect_limit=0, http_no_proxy=["*"], enable_multithread=False, **options
        )

    def command(self, command_type: str, **data: Any) -> None:
        """Send a well-formed command."""
        self.say({"Type": command_type, "From": "UI", "To": "SERV", "Data": data})

    def say(self, message: object) -> None:
        """Send any value as JSON, or a string unchanged."""
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def hear(self) -> Message:
        """Return the next message."""
        message = json.loads(self.socket.recv())
        assert isinstance(message, dict)
        return message

    def hear_type(self, message_type: str) -> Message:
        """Return the next message of a type, skipping others."""
        for _ in range(1000):
            message = self.hear()
            if message["Type"] == message_type:
                return message
        raise AssertionError(f"no {message_type} among 1000 messages")

    def log_in(self, email: str = EMAIL, password: str = PASSWORD) -> Message:
        """Send the login and return the answer."""
        self.command("POST_LOGIN", Email=email, Password=password)
        return self.hear()

    def subscribe(self) -> None:
        """Log in and subscribe; return when the gateway has handled both."""
        assert self.log_in()["Data"]["Success"] is True
        self.command("POST_SUB_CHANGES")
        self.command("GET_DYN_CONNECTED")
        self.hear_type("RTN_DYN")

    def ping(self) -> bytes:
        """Send a ping; return the payload of the next frame, a pong."""
        self.socket.ping("are you there")
        opcode, payload = self.socket.recv_data(control_frame=True)
        assert opcode == websocket.ABNF.OPCODE_PONG
        assert isinstance(payload, bytes)
        return payload

    def close_code(self) -> int:
        """Return the code of the next frame, a close."""
        opcode, payload = self.socket.recv_data(control_frame=True)
        assert opcode == websocket.ABNF.OPCODE_CLOSE
        return int.from_bytes(payload[:2], "big")
