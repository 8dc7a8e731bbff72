"""Notify workers after requests that wrote."""

from flask import Flask, Response, g, request

from service.api.services.change_notifier import ChangeNotifier
from service.tokens import READING


def notify_after_writes(app: Flask, change_notifier: ChangeNotifier) -> None:
    """Every write notifies workers, whether or not it concerns them: checking is cheap."""

    def finish(response: Response) -> Response:
        if request.method not in READING and response.status_code < 400 and g.get("has_written", True):
            change_notifier.notify()
        return response

    app.after_request(finish)
