"""Hangs the pages into the application."""

from flask import Blueprint, Flask, g, request
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import RequestEntityTooLarge

from service.api.middleware.authentication import may_write
from service.api.services.context import services
from service.api.web.responses import public_path
from service.database.views.facts import read_facts
from service.errors import ImportTooBigError, ScopeTooSmallError
from service.web import rendering
from service.web.blueprints import (
    deleted,
    factories,
    fleet,
    gateway,
    gateway_edit,
    gateway_import,
    gateways,
    root,
    session,
    static,
    workers,
)
from service.web.blueprints import help as help_pages
from service.web.errors import old_form
from service.web.icons import icon, symbols
from service.web.pictures import state_bar
from service.web.rendering import PATH
from service.web.security import PageHeaders
from service.web.static_files import MODULES
from service.web.wording import FILTERS, STATES

# Without a token: what leads to the login, and what it looks like.
OPEN_PAGES = frozenset({"root", "web.session", "web.static"})
# Who may only read does not get as far as filling them in.
_WRITING_FORMS = frozenset(
    {
        "web.gateway_edit.create",
        "web.gateway_edit.edit",
        "web.factories.create",
        "web.factories.edit",
        "web.factories.delete",
    }
)
_NAVIGATION = (
    ("Fleet", "web.fleet.show"),
    ("Gateways", "web.gateways.show"),
    ("Factories", "web.factories.show"),
    ("Import", "web.gateway_import.show"),
    ("Workers", "web.workers.show"),
    ("Deleted", "web.deleted.show"),
    ("Help", "web.help.show"),
)
_VIEWS = (
    fleet.blueprint,
    gateways.blueprint,
    gateway_edit.blueprint,
    gateway_import.blueprint,
    gateway.blueprint,
    deleted.blueprint,
    factories.blueprint,
    workers.blueprint,
    help_pages.blueprint,
    session.blueprint,
    static.blueprint,
)


def install_pages(app: Flask) -> None:
    """Serves them under `/ui`. Call it last."""
    csrf = CSRFProtect()
    app.config.update(
        WTF_CSRF_CHECK_DEFAULT=False,
        # A form may stay open for as long as its session. The origin of every write is checked before.
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,
    )
    csrf.init_app(app)
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        url_for=rendering.url_for,
        public_path=public_path,
        static_url=rendering.static_url,
        icon=icon,
        icon_symbols=symbols,
        states=STATES,
        state_bar=state_bar,
        modules=MODULES,
        navigation=_NAVIGATION,
    )

    pages = Blueprint("web", __name__, url_prefix=PATH, template_folder="templates")

    @pages.before_request
    def prepare() -> None:
        if request.blueprint == "web.static":
            return
        if request.blueprint == "web.gateway_import":
            # Before the form is read, which has the CSRF token beside the file.
            request.max_content_length = gateway_import.MAX_FORM_BYTES
        try:
            csrf.protect()
        except CSRFError:
            raise old_form() from None
        except RequestEntityTooLarge:
            if request.blueprint == "web.gateway_import":
                raise ImportTooBigError from None
            raise
        if request.endpoint in _WRITING_FORMS and not may_write():
            raise ScopeTooSmallError
        if request.blueprint not in OPEN_PAGES:
            g.facts = read_facts(services().database)

    for view in _VIEWS:
        pages.register_blueprint(view)
    pages.after_request(rendering.finish)
    app.register_blueprint(root.blueprint)
    app.register_blueprint(pages)
    app.wsgi_app = PageHeaders(app.wsgi_app)  # type: ignore[method-assign]
