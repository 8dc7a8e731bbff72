"""The API as a whole: `create_app` wires it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, Request
from werkzeug.routing import BaseConverter, MapAdapter

from service.api.blueprints import BLUEPRINTS
from service.api.middleware.authentication import install_authentication
from service.api.middleware.change_notifications import notify_after_writes
from service.api.middleware.deadline import install_deadline
from service.api.middleware.metrics import install_metrics
from service.api.middleware.origin_check import check_origins
from service.api.middleware.request_log import log_requests
from service.api.middleware.security_headers import install_security
from service.api.middleware.sessions import install_sessions
from service.api.services.change_notifier import ChangeNotifier
from service.api.services.connection_test_waiter import ConnectionTestWaiter
from service.api.services.context import Services, attach_services
from service.api.services.event_feed import EventFeed
from service.api.services.heartbeats import Heartbeats
from service.api.services.stored_passwords import PasswordPolicy
from service.api.services.token_usage import TokenUses
from service.api.web.errors import handle_errors
from service.config import ApiConfig
from service.crypto import Sealer
from service.database.engine.pool import Database
from service.environment import read_environment
from service.errors import ConfigurationError
from service.web.errors import write_error
from service.web.install import OPEN_PAGES, install_pages

MIGRATIONS = Path(__file__).resolve().parents[1] / "db" / "migrations"


class IdConverter(BaseConverter):
    """What stands for an id. A word that is a path of its own is none: other methods than its own are 405."""

    regex = "(?!(?:import|connect|disconnect|test)$)[^/]+"
    part_isolating = True


class Api(Flask):
    """Flask without per-request work whose result never changes here."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """No function here is a coroutine's."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes depend on method and path alone, and no redirect comes of them: the host is not asked."""
        if request is None:
            return None
        return MapAdapter(
            self.url_map,
            server_name="",
            script_name="/",
            subdomain="",
            url_scheme="http",
            path_info=request.path,
            default_method=request.method,
        )


def create_app(config: ApiConfig | None = None) -> Flask:
    """Create the application. Open its pool after the fork, with `services_of(app).database`.

    Without `config` the environment is read. Raises ConfigurationError.
    """
    config = config or ApiConfig.read(read_environment())
    app = Api("millgate", static_folder=None)
    # A path is what it says: one slash more or less is another path, never a redirect.
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    app.url_map.converters["default"] = IdConverter
    database = Database(config.database, "millgate-api", defer_notify=True)
    change_notifier = ChangeNotifier(database)
    event_feed = EventFeed(
        database, config.max_waiting_requests, readers=max(1, config.database.pool_max // 2)
    )
    attach_services(
        app,
        Services(
            database=database,
            sealer=Sealer(config.encryption_key, config.old_encryption_keys),
            newest_migration=newest_migration(MIGRATIONS),
            connection_tests=ConnectionTestWaiter(config.connection_test_timeout_s),
            event_feed=event_feed,
            heartbeats=Heartbeats(database, event_feed),
            change_notifier=change_notifier,
            token_uses=TokenUses(database),
            passwords=PasswordPolicy(config.serves_only_this_machine, config.gateway_networks_allowed),
        ),
    )
    log_requests(app)
    install_metrics(app, database)
    handle_errors(app, write_error)
    check_origins(app, config)
    install_security(app, config)
    install_deadline(app)
    notify_after_writes(app, change_notifier)
    install_sessions(app, config)
    install_authentication(app, is_required=config.requires_tokens, open_blueprints=OPEN_PAGES)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    install_pages(app)
    return app


def newest_migration(directory: Path) -> str:
    """The version that the newest migration file is named after. Raises ConfigurationError."""
    versions = [path.name.partition("_")[0] for path in directory.glob("*.sql")]
    if not versions:
        raise ConfigurationError(f"there are no migrations in {directory}")
    return max(versions)
