"""The API with a short body timeout, so that a test need not wait for a minute."""

from flask import Flask

from service import app as api
from service.api.server import client_socket

STALL_S = 2.0
BODY_S = 4.0


def create_app() -> Flask:
    """Return the application that gunicorn serves."""
    client_socket.STALL_TIMEOUT_S = STALL_S
    client_socket.BODY_TIMEOUT_S = BODY_S
    return api.create_app()
