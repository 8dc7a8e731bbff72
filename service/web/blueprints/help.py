"""What the words of the pages mean, and what to do."""

from flask import Blueprint, Response

from service.gateway_states import ACTIONS
from service.web.rendering import render_page

blueprint = Blueprint("help", __name__, url_prefix="/help")


@blueprint.get("")
def show() -> Response:
    """Each state, each reason and what a person can do about it, and the keys."""
    return render_page("help.html", actions=ACTIONS)
