"""A gateway, as people type it in."""

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, SelectField, StringField


class GatewayForm(FlaskForm):  # type: ignore[misc]
    """What is valid, the API's model decides. The password is never sent back to the browser."""

    factory_id = SelectField("Factory")
    gateway_id = StringField("Gateway id", render_kw={"maxlength": 100, "required": True})
    name = StringField("Name", render_kw={"maxlength": 200, "required": True})
    url = StringField("Address", render_kw={"required": True, "placeholder": "ws://192.0.2.7:5000"})
    email = StringField(
        "Email of its login", render_kw={"maxlength": 320, "required": True, "inputmode": "email"}
    )
    password = PasswordField("Password of its login", render_kw={"autocomplete": "new-password"})
    model = StringField("Model", render_kw={"maxlength": 100})
    firmware_version = StringField("Firmware", render_kw={"maxlength": 100})
    version = HiddenField()
    """Of what was read, so that a change made meanwhile is not undone unseen."""
