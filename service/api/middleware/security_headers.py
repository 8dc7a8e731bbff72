"""CORS, security headers and trusted proxies."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Response, request
from flask_cors import CORS
from flask_talisman import Talisman
from werkzeug.middleware.proxy_fix import ProxyFix

from service.api.web.etags import IF_MATCH, IF_NONE_MATCH
from service.api.web.parsing import MAX_BODY_BYTES
from service.api.web.request_id import HEADER
from service.config import ApiConfig

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

AfterRequest = Callable[[Response], Response]
CONTENT_SECURITY_POLICY = {"default-src": "'none'", "frame-ancestors": "'none'"}
_FORWARDED_SCHEME = "HTTP_X_FORWARDED_PROTO"


def install_security(app: Flask, config: ApiConfig) -> None:
    """Bounds what comes in, and sets the headers of what goes out."""
    # One more than allowed, so that a longer body is noticed.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1
    app.wsgi_app = _Headers(app.wsgi_app, _talisman(app.name))  # type: ignore[method-assign]
    if config.cors_origins:
        app.after_request(_cors(config))
    app.wsgi_app = _ForgetScheme(app.wsgi_app)  # type: ignore[method-assign]
    if config.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app,
            x_for=config.trusted_proxies,
            x_proto=config.trusted_proxies,
            x_host=config.trusted_proxies,
            x_prefix=1,
        )


def _talisman(name: str) -> AfterRequest:
    """What sets Talisman's headers. Its redirect to HTTPS loses writes: see `origin_check`."""
    hooks = Flask(name, static_folder=None)
    Talisman(
        hooks,
        force_https=False,
        content_security_policy=CONTENT_SECURITY_POLICY,
        frame_options="DENY",
        referrer_policy="no-referrer",
        # What else is below the name is not ours to decide for.
        strict_transport_security_include_subdomains=False,
        session_cookie_secure=False,
    )
    return _only_hook(hooks)


def _cors(config: ApiConfig) -> AfterRequest:
    """Flask-CORS, asked where there is something to decide: without an Origin it adds nothing."""
    # It takes some texts for patterns, and matches those from the left only.
    exactly = [re.compile(rf"{re.escape(origin)}\Z", re.IGNORECASE) for origin in config.cors_origins]
    hooks = Flask("cors", static_folder=None)
    CORS(
        hooks,
        origins=exactly,
        allow_headers=["Authorization", "Content-Type", HEADER, IF_MATCH, IF_NONE_MATCH],
        expose_headers=["ETag", "Location", "Retry-After", "WWW-Authenticate", HEADER],
        always_send=False,
        intercept_exceptions=False,
    )
    set_headers = _only_hook(hooks)

    def add(response: Response) -> Response:
        if "HTTP_ORIGIN" in request.environ:
            response = set_headers(response)
        response.vary.add("Origin")
        return response

    return add


def _only_hook(hooks: Flask) -> AfterRequest:
    """What an extension would have been called with after each request, had this been the application."""
    [set_headers] = hooks.after_request_funcs[None]
    return cast("AfterRequest", set_headers)


class _Headers:
    """Adds Talisman's headers, asked for once a route and scheme: they depend on nothing else."""

    def __init__(self, application: "WSGIApplication", set_headers: AfterRequest) -> None:
        self._application = application
        self._set_headers = set_headers
        self._known: dict[tuple[str | None, str], list[tuple[str, str]]] = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        return self._application(environ, partial(self._start, environ["wsgi.url_scheme"], start_response))

    def _start(
        self,
        scheme: str,
        start_response: "StartResponse",
        status: str,
        headers: list[tuple[str, str]],
        *more: Any,
    ) -> Callable[[bytes], object]:
        return start_response(status, headers + self._headers(scheme), *more)

    def _headers(self, scheme: str) -> list[tuple[str, str]]:
        route = request.endpoint, scheme
        if route not in self._known:
            empty = Response()
            empty.headers.clear()
            self._known[route] = list(self._set_headers(empty).headers)
        return self._known[route]


class _ForgetScheme:
    """Remove the client's claim about the scheme, which Talisman would trust.

    ProxyFix, around this, has already taken from it what a trusted proxy said.
    """

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ.pop(_FORWARDED_SCHEME, None)
        return self._application(environ, start_response)
