"""What handlers work with, made once a process."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import BoundedSemaphore

from flask import Flask, current_app

from service.api.services.change_notifier import ChangeNotifier
from service.api.services.connection_test_waiter import ConnectionTestWaiter
from service.api.services.event_feed import EventFeed
from service.api.services.heartbeats import Heartbeats
from service.api.services.stored_passwords import PasswordPolicy
from service.api.services.token_usage import TokenUses
from service.crypto import Sealer
from service.database.engine.pool import Database
from service.database.engine.query import Executor

IMPORTS_AT_ONCE = 2
_EXTENSION = "millgate"


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers share; `newest_migration` is the one that this code was written for."""

    database: Database
    sealer: Sealer
    newest_migration: str
    connection_tests: ConnectionTestWaiter
    event_feed: EventFeed
    heartbeats: Heartbeats
    change_notifier: ChangeNotifier
    token_uses: TokenUses
    passwords: PasswordPolicy
    import_slots: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(IMPORTS_AT_ONCE))
    """Held while a file is imported."""

    def cancel_waits(self) -> None:
        """The process is stopping: answer waiting requests at once."""
        self.event_feed.cancel_waits()
        self.connection_tests.ending.set()


def attach_services(app: Flask, services: Services) -> None:
    """Gives an application what its handlers work with."""
    app.extensions[_EXTENSION] = services


def services_of(app: Flask) -> Services:
    """What the handlers of this application work with."""
    attached = app.extensions[_EXTENSION]
    assert isinstance(attached, Services)  # noqa: S101
    return attached


def services() -> Services:
    """What the handlers of the application in use work with."""
    return services_of(current_app)


def writing(condition: object | None) -> AbstractContextManager[Executor]:
    """Where to write with one statement: a transaction if a condition is held against the row before it."""
    database = services().database
    return nullcontext(database) if condition is None else database.transaction()
