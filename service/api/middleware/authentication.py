"""Who may do what: `Authorization: Bearer`, asked of every request before anything else is done with it.

A valid token always counts, even from an address whose failures are refused: no client can lock others out by
failing from an address that they share. Guessing 256 bits gains nothing from more attempts; the limit is
there to spare the log and to tell the client.
"""

import logging
import time
from typing import NoReturn
from uuid import UUID

from flask import Flask, g, request
from werkzeug.exceptions import MethodNotAllowed

from service.api.middleware.rate_limit import FailureLimiter
from service.api.services.context import services
from service.api.web.request_id import request_id
from service.database.security.tokens import LiveToken, TokenRepository
from service.errors import (
    DatabaseUnavailableError,
    ScopeTooSmallError,
    TooManyFailuresError,
    UnauthorizedError,
)
from service.tokens import Scope, TokenParts, covers, hash_of, is_proof, new_secret, split_token

log = logging.getLogger("millgate.api")

# Open endpoints reveal nothing about plants. Readiness shows details to authorized clients only.
OPEN_BLUEPRINTS = frozenset({"health", "docs"})
READINESS = "health.ready"
_EXTENSION = "millgate-tokens"
# Compared with when there is no such token, so that this takes as long as a wrong proof.
_NOBODYS_HASH = hash_of(new_secret())


def require_tokens(app: Flask) -> None:
    """Asks every request for a token. Call it after `log_requests`."""
    limiter = app.extensions[_EXTENSION] = FailureLimiter()
    app.before_request(lambda: _check(limiter))


def asks_for_tokens(app: Flask) -> bool:
    """Whether requests to this application need one."""
    return _EXTENSION in app.extensions


def may_see_details() -> bool:
    """Whether the client of this request may see readiness details."""
    return bool(g.get("may_see_details", True))


def token_in_hand() -> UUID | None:
    """The id of the token that the request in hand came with; None where none is asked for."""
    found: UUID | None = g.get("token_id")
    return found


def _check(limiter: FailureLimiter) -> None:
    if request.endpoint == READINESS:
        g.may_see_details = _is_authorized(limiter)
    elif isinstance(request.routing_exception, MethodNotAllowed):
        pass  # The OpenAPI document, which is public, lists paths and methods.
    elif request.method != "OPTIONS" and request.blueprint not in OPEN_BLUEPRINTS:
        _authorize(limiter)


def _is_authorized(limiter: FailureLimiter) -> bool:
    """Raises UnauthorizedError for a token that is wrong, not for one that is absent."""
    if "Authorization" not in request.headers:
        return False
    try:
        _authorize(limiter)
    except DatabaseUnavailableError:
        return False
    return True


def _authorize(limiter: FailureLimiter) -> None:
    """Raises UnauthorizedError, ScopeTooSmallError, TooManyFailuresError, DatabaseError."""
    header = request.headers.get("Authorization")
    if header is None:
        _refuse(limiter, "no token was given", is_given=False)
    kind, _, text = header.partition(" ")
    parts = split_token(text.strip()) if kind.lower() == "bearer" else None
    if parts is None:
        _refuse(limiter, "what was given is not a token")
    tokens = TokenRepository(services().database)
    token = _find(tokens, parts)
    if token is None:
        _refuse(limiter, "the token is not known, or was revoked")
    g.token, g.token_id = token.name, token.id
    if not token.was_used_today:
        services().token_uses.note(token.id)
    if not covers(Scope(token.scope), request.method):
        log.warning("a token for reading was used to write", extra={**_who(), "token": token.name})
        raise ScopeTooSmallError


def _find(tokens: TokenRepository, parts: TokenParts) -> LiveToken | None:
    token = tokens.find_live(parts.row_id)
    proven = is_proof(parts.secret, _NOBODYS_HASH if token is None else token.token_hash)
    return token if proven else None


def _refuse(limiter: FailureLimiter, why: str, *, is_given: bool = True) -> NoReturn:
    wait_s = limiter.count(request.remote_addr or "", time.monotonic())
    if wait_s:
        log.debug("authentication failed once more: %s", why, extra=_who())
        raise TooManyFailuresError(wait_s)
    log.warning("authentication failed: %s", why, extra=_who())
    raise UnauthorizedError(is_given=is_given)


def _who() -> dict[str, str]:
    return {"request_id": request_id(), "address": request.remote_addr or "", "path": request.path}
