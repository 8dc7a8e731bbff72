"""What stands around the handlers: who may call from a browser, headers, HTTPS, and whose word counts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from flask_cors import CORS
from flask_talisman import Talisman
from werkzeug.middleware.proxy_fix import ProxyFix

from service.api.preconditions import IF_MATCH, IF_NONE_MATCH
from service.api.request_log import HEADER
from service.api.requests import MAX_BODY_BYTES
from service.config import ApiConfig

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CONTENT_SECURITY_POLICY = {"default-src": "'none'", "frame-ancestors": "'none'"}
_FORWARDED_SCHEME = "HTTP_X_FORWARDED_PROTO"


def guard(app: Flask, config: ApiConfig) -> None:
    """Bounds what comes in, and sets the headers of what goes out."""
    # One more than a body may have, so that one that goes on behind its limit shows.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    Talisman(
        app,
        force_https=config.force_https,
        content_security_policy=CONTENT_SECURITY_POLICY,
        frame_options="DENY",
        referrer_policy="no-referrer",
        session_cookie_secure=False,
    )
    if config.cors_origins:
        CORS(
            app,
            origins=list(config.cors_origins),
            allow_headers=["Authorization", "Content-Type", HEADER, IF_MATCH, IF_NONE_MATCH],
            expose_headers=["ETag", "Location", "Retry-After", "WWW-Authenticate", HEADER],
            always_send=False,
            intercept_exceptions=False,
        )
    app.wsgi_app = _ForgetScheme(app.wsgi_app)  # type: ignore[method-assign]
    if config.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=config.trusted_proxies, x_proto=config.trusted_proxies
        )


class _ForgetScheme:
    """Takes away what anybody may claim about the scheme: Talisman would believe it.

    ProxyFix, around this, has already taken from it what a trusted proxy said.
    """

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ.pop(_FORWARDED_SCHEME, None)
        return self._application(environ, start_response)
