"""Values of a form, held against the API's own model: the same rules and words, beside each field."""

from collections.abc import Mapping
from typing import Any, TypeVar

from flask_wtf import FlaskForm
from pydantic import ValidationError

from service.api.schemas.base import RequestModel
from service.api.web.errors import problem_for
from service.api.web.validation_errors import details_of
from service.errors import MillgateError

Model = TypeVar("Model", bound=RequestModel)


def parse_form(form: FlaskForm, model: type[Model], values: Mapping[str, Any]) -> Model | None:
    """The values as the API takes them from JSON; None, with each mistake at its field, if it does not."""
    try:
        return model.model_validate(values, strict=False)
    except ValidationError as error:
        for mistake in details_of(error, "form"):
            add_error(form, mistake["field"], mistake["message"])
        return None


def add_error(form: FlaskForm, name: str, message: str) -> None:
    """At the field of this name, or at the form where there is none."""
    field = form._fields.get(name)
    if field is None:
        form.form_errors.append(f"{name}: {message}")
    else:
        field.errors = [*field.errors, message]


def add_problem(form: FlaskForm, error: MillgateError) -> None:
    """What the API refuses, in its words. Raises the error where that is no answer to a form."""
    problem = problem_for(error)
    if problem is None or problem.status >= 500:
        raise error
    for each in problem.details:
        add_error(form, each["field"], each["message"])
        if problem.code == "PASSWORD_REQUIRED":
            add_error(form, each["field"], f"({problem.message})")
    if not problem.details:
        form.form_errors.append(problem.message)
