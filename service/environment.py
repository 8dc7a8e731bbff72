"""Reading settings: typed, checked, each asked for once, with an error of one line."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from service.errors import ConfigurationError


def read_environment(dotenv_path: Path = Path(".env")) -> "Environment":
    """The process's environment, with the file `.env` behind it for what the environment does not name."""
    behind = {name: value for name, value in dotenv_values(dotenv_path).items() if value is not None}
    return Environment({**behind, **os.environ})


class Environment:
    """Settings by name. An empty value counts as absent. Values never appear in an error, names do."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: dict[str, str | None] = {}
        """Every name that was asked for, with its default as text: what `.env.example` has to list."""

    def required(self, name: str) -> str:
        """A text that must be there. Raises ConfigurationError."""
        self.asked[name] = None
        value = self._values.get(name, "")
        if not value:
            raise ConfigurationError(f"{name} is not set: give it in the environment or in .env")
        return value

    def text(self, name: str, default: str) -> str:
        """A text."""
        self.asked[name] = default
        return self._values.get(name) or default

    def words(self, name: str) -> tuple[str, ...]:
        """Texts separated by commas; none by default."""
        return tuple(word.strip() for word in self.text(name, "").split(",") if word.strip())

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of a few words. Raises ConfigurationError."""
        value = self.text(name, default).lower()
        if value not in choices:
            raise ConfigurationError(f"{name} must be one of {', '.join(choices)}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """`true` or `false`. Raises ConfigurationError."""
        return self.choice(name, "true" if default else "false", ("true", "false")) == "true"

    def integer(self, name: str, default: int, *, minimum: int, maximum: int) -> int:
        """A whole number within its bounds. Raises ConfigurationError."""
        text = self.text(name, str(default))
        try:
            value = int(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be a whole number") from None
        if not minimum <= value <= maximum:
            raise ConfigurationError(f"{name} must be between {minimum} and {maximum}")
        return value

    def seconds(self, name: str, default: float, *, minimum: float = 0.01, maximum: float = 86400.0) -> float:
        """A number of seconds within its bounds. Raises ConfigurationError."""
        text = self.text(name, f"{default:g}")
        try:
            value = float(text)
        except ValueError:
            raise ConfigurationError(f"{name} must be a number of seconds") from None
        if not minimum <= value <= maximum:
            raise ConfigurationError(f"{name} must be between {minimum:g} and {maximum:g} seconds")
        return value
