"""A bound on what a request waits for the database, however many statements it takes."""

from flask import Flask

from service.database.deadline import answer_within

DATABASE_LIMIT_S = 4.0


def limit_waits(app: Flask) -> None:
    """Every request is answered within 5 s, also while the database is silent."""
    app.before_request(lambda: answer_within(DATABASE_LIMIT_S))
