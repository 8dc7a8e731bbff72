"""Sessions of browsers: Flask's signed cookies, for requests that have one or may begin one."""

from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from service.config import ApiConfig
from service.crypto import derive_key

COOKIE = "millgate_session"
_PURPOSE = "millgate browser sessions"


def install_sessions(app: Flask, config: ApiConfig) -> None:
    """Every process derives the same keys, and keys that are being rotated out still count."""
    app.config.update(
        SECRET_KEY=derive_key(config.encryption_key, _PURPOSE),
        SECRET_KEY_FALLBACKS=[derive_key(key, _PURPOSE) for key in config.old_encryption_keys],
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
    )
    app.session_interface = _Sessions()


class _Sessions(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Programs send no cookie: their requests do not pay for one."""
        if COOKIE not in request.environ.get("HTTP_COOKIE", ""):
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SecureCookieSession, response: Response) -> None:  # type: ignore[override]
        if session.accessed or session.modified:
            super().save_session(app, session, response)

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        """As the request came: behind a proxy that ends TLS, with TRUSTED_PROXIES, that is HTTPS."""
        return request.is_secure
