"""Parses raw responses."""

import http.client

from tests.support.api_server import Reply

SOME_ID = "00000000-0000-7000-8000-00000000dead"


def reply_in(received: bytes) -> Reply:
    """Parse a raw response after which the server closed."""
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = http.client.HTTPMessage()
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name] = value
    return Reply(int(status_line.split()[1]), headers, body)
