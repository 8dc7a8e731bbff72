"""The token that a session begins with."""

from flask_wtf import FlaskForm
from wtforms import PasswordField
from wtforms.validators import DataRequired


class LoginForm(FlaskForm):  # type: ignore[misc]
    """One field; the browser may remember what is in it, the server does not."""

    token = PasswordField("API token", [DataRequired("Paste an API token: millgate_…")])
