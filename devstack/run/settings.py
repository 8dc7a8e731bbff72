"""The settings of this project's folder, as the service reads them."""

from collections.abc import Mapping

from devstack.errors import StackError
from devstack.project import PROJECT
from service.environment import read_settings
from service.errors import ConfigurationError


def settings_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment, completed from `.env`. Raises StackError."""
    try:
        return read_settings(environment, PROJECT / ".env")
    except ConfigurationError as error:
        raise StackError(str(error)) from None
