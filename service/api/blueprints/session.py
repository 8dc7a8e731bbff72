"""A browser's session: a cookie in place of the token, which then is nowhere in the browser."""

from flask import Blueprint, Response

from service.api.middleware.authentication import log_in, log_out
from service.api.openapi.operation import Operation
from service.api.schemas.session import SessionCreate, SessionResponse
from service.api.web.responses import respond, respond_nothing
from service.errors import TooManyFailuresError, UnauthorizedError

blueprint = Blueprint("session", __name__, url_prefix="/api/session")


@blueprint.post("")
@Operation(
    "create_session",
    "Begin a browser session with an API token",
    {200: SessionResponse},
    error_responses=(UnauthorizedError(is_given=True), TooManyFailuresError(1)),
    body=SessionCreate,
    description=(
        "Sets a cookie (HttpOnly, SameSite=Strict) that stands for the token until the token is revoked. "
        "With the cookie alone, writes need `Sec-Fetch-Site: same-origin` or an `Origin` of this host."
    ),
)
def create(body: SessionCreate) -> Response:
    """200, and the cookie."""
    token = log_in(body.token.get_secret_value())
    return respond(SessionResponse.model_validate({"name": token.name, "scope": token.scope}))


@blueprint.delete("")
@Operation("delete_session", "End the browser session", {204: None}, uses_database=False)
def delete() -> Response:
    """204; without a session, too."""
    log_out()
    return respond_nothing()
