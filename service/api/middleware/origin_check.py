"""Refuses requests for other hosts (DNS rebinding) and writes from pages of other origins."""

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest
from werkzeug.urls import iri_to_uri

from service.config import ApiConfig
from service.errors import CrossOriginError, MisdirectedRequestError
from service.network.allowed_hosts import host_in

_DEFAULT_PORTS = {"http": 80, "https": 443}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# Sec-Fetch-Site of requests that no other origin's page made.
_FROM_HERE = frozenset({"", "same-origin", "none"})
_HOSTS_KEPT = 64
_BEHIND_PROXIES = "werkzeug.proxy_fix.orig"
Origin = tuple[str, str, int | None]


def check_origins(app: Flask, config: ApiConfig) -> None:
    """Checks the host, the scheme and the origin of every request. Call it before anything that does work."""
    listed = frozenset(origin for text in config.cors_origins if (origin := origin_in(text)) is not None)
    # Nearly all requests are for the same few hosts.
    is_own = lru_cache(_HOSTS_KEPT)(config.own_hosts.include)

    def check() -> Response | None:
        _require_host()
        if not config.requires_tokens:
            _check_host(is_own)
        if config.force_https and not request.is_secure:
            return _redirect(is_own)
        if request.method not in _SAFE_METHODS:
            _check_origin(listed)
        return None

    app.before_request(check)


def origin_in(text: str) -> Origin | None:
    """An origin as browsers write it (RFC 6454): scheme, host and port; None for `null` and what is none."""
    try:
        parts = urlsplit(text)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname or "@" in text or text.partition("://")[2] != parts.netloc:
        return None
    return parts.scheme, parts.hostname, port


def is_from_own_page() -> bool:
    """Whether a browser says that a page of this server sent the request. A listed origin is another."""
    text = request.environ.get("HTTP_ORIGIN")
    if text is not None:
        return origin_in(text) == _own_origin()
    return request.headers.get("Sec-Fetch-Site") == "same-origin"


def _own_origin() -> Origin | None:
    return origin_in(f"{request.scheme}://{request.environ.get('HTTP_HOST', '')}")


def _require_host() -> None:
    """RFC 9112, section 3.2. Raises BadRequest."""
    header = request.environ.get("HTTP_HOST")
    if header is None:
        if request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
            raise BadRequest("The Host header is required.")
    elif not _names_host(header):
        raise BadRequest("The Host header is invalid.")


@lru_cache(_HOSTS_KEPT)
def _names_host(header: str) -> bool:
    return host_in(header) is not None


def _check_host(is_own: Callable[[str], bool]) -> None:
    """Raises MisdirectedRequestError. Without a Host header the client is no browser."""
    environ = request.environ
    # The host that the proxies were asked for, and the one that they asked for: both have to be ours.
    for header in {environ.get("HTTP_HOST"), environ.get(_BEHIND_PROXIES, environ).get("HTTP_HOST")}:
        if header is not None and not is_own(header):
            raise MisdirectedRequestError


def _redirect(is_own: Callable[[str], bool]) -> Response:
    """To HTTPS, with method and body kept. Raises MisdirectedRequestError where the host is not ours."""
    if not is_own(request.environ.get("HTTP_HOST", "")):
        raise MisdirectedRequestError
    url = iri_to_uri(request.url).replace("http://", "https://", 1)
    return Response(status=308, headers={"Location": url})


def _check_origin(listed: frozenset[Origin]) -> None:
    """Raises CrossOriginError. Pages cannot set these headers, and other clients need not send them."""
    text = request.environ.get("HTTP_ORIGIN")
    origin = None if text is None else origin_in(text)
    if origin is not None and origin in listed:
        return
    is_foreign = text is not None and (origin is None or origin != _own_origin())
    if is_foreign or request.headers.get("Sec-Fetch-Site", "") not in _FROM_HERE:
        raise CrossOriginError
