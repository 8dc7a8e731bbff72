"""A bound on what a request waits for the database, however many statements it takes."""

from flask import Flask

from service.database.engine.deadline import REQUEST_LIMIT_S, set_deadline


def install_deadline(app: Flask) -> None:
    """Every request is answered within 5 s, also while the database is silent."""
    app.before_request(lambda: set_deadline(REQUEST_LIMIT_S))
