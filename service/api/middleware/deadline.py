"""A bound on what a request waits for the database, however many statements it takes."""

from flask import Flask

from service.database.engine.deadline import REQUEST_LIMIT_S, answer_within


def install_deadline(app: Flask) -> None:
    """Every request is answered within 5 s, also while the database is silent."""
    app.before_request(lambda: answer_within(REQUEST_LIMIT_S))
