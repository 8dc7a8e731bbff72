"""The application for granian, which loads it in each of its processes: see docs/production.md."""

import atexit

from flask import Flask

from service import app
from service.api.services import services_of
from service.config import ApiConfig
from service.environment import read_environment
from service.logs import configure_logging


def create_app() -> Flask:
    """The application, its pool open: what gunicorn's hooks do, as far as it can be done from here.

    Raises ConfigurationError.
    """
    config = ApiConfig.read(read_environment())
    configure_logging(config.log_level)
    made = app.create_app(config)
    services = services_of(made)
    services.database.open()
    services.event_watch.start()
    services.herald.start()
    atexit.register(services.database.close)
    # Before that: what is registered last is called first.
    atexit.register(services.herald.stop, timeout_s=2)
    return made
