"""Log in with an API token, and out again."""

import re

from flask import Blueprint, Response, current_app, request

from service.api.middleware.authentication import asks_for_tokens, log_in, log_out
from service.api.web.responses import public_path
from service.errors import UnauthorizedError
from service.web.forms.login import LoginForm
from service.web.rendering import go_to, render_page

blueprint = Blueprint("session", __name__)
# Of a page: neither another host's nor what browsers take for one, and no way out by dots.
_PAGE = re.compile(r"/ui/[a-z0-9/_-]*(\?[!-~]*)?")


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> Response:
    """A form for the token. Leads back to where the login was asked for."""
    if not asks_for_tokens(current_app):
        return go_to("web.fleet.show")
    form = LoginForm()
    if not form.validate_on_submit():
        return render_page("login.html", form=form)
    try:
        log_in(form.token.data or "")
    except UnauthorizedError:
        form.token.errors = ["This is not a valid token, or it was revoked."]
        return render_page("login.html", 401, form=form)
    asked_for = request.args.get("next", "")
    if _PAGE.fullmatch(asked_for):
        return Response(status=303, headers={"Location": public_path(asked_for)})
    return go_to("web.fleet.show")


@blueprint.post("/logout")
def logout() -> Response:
    """Ends the session of this browser."""
    log_out()
    return go_to("web.session.login")
