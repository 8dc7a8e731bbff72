"""Who may do what: `Authorization: Bearer` or a browser's session, checked before anything else is done.

A session names a token and a proof of it, in a signed cookie: it ends when the token is revoked.

A valid token always counts, even from an address whose failures are refused: no client can lock others out by
failing from an address that they share. Guessing 256 bits gains nothing from more attempts; the limit is
there to spare the log and to tell the client.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Collection
from typing import NoReturn
from uuid import UUID

from flask import Flask, current_app, g, request, session
from werkzeug.exceptions import MethodNotAllowed

from service.api.middleware.origin_check import is_from_own_page
from service.api.middleware.rate_limit import FailureLimiter
from service.api.services.context import services
from service.api.web.request_id import request_id
from service.database.security.tokens import LiveToken, TokenRepository
from service.errors import (
    CrossOriginError,
    DatabaseUnavailableError,
    ScopeTooSmallError,
    TooManyFailuresError,
    UnauthorizedError,
)
from service.tokens import READING, Scope, TokenParts, covers, hash_of, is_proof, new_secret, split_token

log = logging.getLogger("millgate.api")

# Open endpoints reveal nothing about plants. Readiness shows details to authorized clients only.
OPEN_BLUEPRINTS = frozenset({"health", "docs", "session"})
READINESS = "health.ready"
_LIMITER = "millgate-failure-limiter"
_OPEN = "millgate-open-blueprints"
_SESSION_KEY = "token"
# Compared with when there is no such token, so that this takes as long as a wrong proof.
_NOBODYS_HASH = hash_of(new_secret())


def install_authentication(app: Flask, *, is_required: bool, open_blueprints: Collection[str] = ()) -> None:
    """Checks every request for a token, if one is required. Call it after `log_requests`.

    `open_blueprints`: those, beside OPEN_BLUEPRINTS, that need none.
    """
    app.extensions[_LIMITER] = FailureLimiter()
    if is_required:
        app.extensions[_OPEN] = OPEN_BLUEPRINTS.union(open_blueprints)
        app.before_request(_check)


def asks_for_tokens(app: Flask) -> bool:
    """Whether requests to this application need one."""
    return _OPEN in app.extensions


def log_in(text: str) -> LiveToken:
    """Begins a browser's session. Raises UnauthorizedError, TooManyFailuresError, DatabaseError."""
    token = _prove(text)
    session.clear()
    session[_SESSION_KEY] = [token.id.hex, _fingerprint(token)]
    return token


def log_out() -> None:
    """Ends the session of this browser."""
    session.clear()


def may_write() -> bool:
    """Whether the client of this request may change anything."""
    return g.get("scope", Scope.WRITE) is Scope.WRITE


def may_see_details() -> bool:
    """Whether the client of this request may see readiness details."""
    return bool(g.get("may_see_details", True))


def token_in_hand() -> UUID | None:
    """The id of the token that the request in hand came with; None where none is asked for."""
    found: UUID | None = g.get("token_id")
    return found


def _check() -> None:
    if request.endpoint == READINESS:
        g.may_see_details = _is_authorized()
    elif isinstance(request.routing_exception, MethodNotAllowed):
        pass  # The OpenAPI document, which is public, lists paths and methods.
    elif request.method != "OPTIONS" and request.blueprint not in current_app.extensions[_OPEN]:
        _authorize()


def _is_authorized() -> bool:
    """Raises UnauthorizedError for a token that is wrong, not for one that is absent."""
    if "Authorization" not in request.headers and _SESSION_KEY not in session:
        return False
    try:
        _authorize()
    except DatabaseUnavailableError:
        return False
    return True


def _authorize() -> None:
    """Raises UnauthorizedError, ScopeTooSmallError, TooManyFailuresError, CrossOriginError, DatabaseError."""
    header = request.headers.get("Authorization")
    if header is not None:
        kind, _, text = header.partition(" ")
        token = _prove(text if kind.lower() == "bearer" else "")
    elif _SESSION_KEY in session:
        token = _token_of_session()
    else:
        _refuse("no token was given", is_given=False)
    g.token, g.token_id, g.scope = token.name, token.id, Scope(token.scope)
    if not token.was_used_today:
        services().token_uses.note(token.id)
    if not covers(g.scope, request.method):
        log.warning(
            "read-only token %s was used to write; the client was answered 403; give it a token that may"
            " write, or stop it, see docs/runbook.md#authentication-failed",
            token.name,
            extra={**_who(), "token": token.name},
        )
        raise ScopeTooSmallError


def _prove(text: str) -> LiveToken:
    parts = split_token(text.strip())
    if parts is None:
        _refuse("what was given is not a token")
    token = _find(TokenRepository(services().database), parts)
    if token is None:
        _refuse("the token is not known, or was revoked")
    return token


def _token_of_session() -> LiveToken:
    """Browsers send a cookie with whatever page asks for it, so a write has to say that it is ours."""
    if request.method not in READING and not is_from_own_page():
        raise CrossOriginError
    row_id, fingerprint = session[_SESSION_KEY]
    token = TokenRepository(services().database).find_live(UUID(hex=row_id))
    if token is None or not hmac.compare_digest(_fingerprint(token), fingerprint):
        session.clear()
        _refuse("the token of the session was revoked", is_given=False)
    return token


def _fingerprint(token: LiveToken) -> str:
    """Only who can read the table of tokens can compute it, so the key of cookies alone opens nothing."""
    return hashlib.sha256(b"millgate session\x00" + token.token_hash).hexdigest()


def _find(tokens: TokenRepository, parts: TokenParts) -> LiveToken | None:
    token = tokens.find_live(parts.row_id)
    proven = is_proof(parts.secret, _NOBODYS_HASH if token is None else token.token_hash)
    return token if proven else None


def _refuse(why: str, *, is_given: bool = True) -> NoReturn:
    limiter: FailureLimiter = current_app.extensions[_LIMITER]
    wait_s = limiter.count(request.remote_addr or "", time.monotonic())
    if wait_s:
        log.debug("authentication failed once more: %s", why, extra=_who())
        raise TooManyFailuresError(wait_s)
    log.warning(
        "authentication failed for %s: %s; correct the client's token, or block its address, see"
        " docs/runbook.md#authentication-failed",
        request.remote_addr,
        why,
        extra=_who(),
    )
    raise UnauthorizedError(is_given=is_given)


def _who() -> dict[str, str]:
    return {"request_id": request_id(), "address": request.remote_addr or "", "path": request.path}
