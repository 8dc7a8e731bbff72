"""Tells the herald of requests that wrote."""

from flask import Flask, Response, g, request

from service.api.services.change_notifier import Herald
from service.tokens import READING


def note_written(*, anything: bool) -> None:
    """Whether the request in hand wrote anything that others might have to know; without this it did."""
    g.has_written = anything


def tell_of_writes(app: Flask, herald: Herald) -> None:
    """Whatever may have written is told of, whether it concerns workers or not: to look costs them little."""

    def finish(response: Response) -> Response:
        if request.method not in READING and response.status_code < 400 and g.get("has_written", True):
            herald.tell()
        return response

    app.after_request(finish)
