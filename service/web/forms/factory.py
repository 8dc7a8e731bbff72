"""A factory, as people type it in."""

from flask_wtf import FlaskForm
from wtforms import SelectField, StringField

from service.api.schemas.fields import TIMEZONES


class FactoryForm(FlaskForm):  # type: ignore[misc]
    """What is valid, the API's model decides."""

    name = StringField("Name", render_kw={"maxlength": 200, "required": True})
    location = StringField("Location", render_kw={"maxlength": 500})
    timezone = SelectField("Time zone", choices=sorted(TIMEZONES), default="UTC")


class DeleteFactoryForm(FlaskForm):  # type: ignore[misc]
    """The name is typed, so that nobody deletes a plant by a slip."""

    name = StringField(
        "Type the factory's name to delete it", render_kw={"autocomplete": "off", "required": True}
    )
