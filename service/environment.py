"""Reading settings: typed, checked, each asked for once, with an error of one line."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv.variables import parse_variables

from service.env_file import read_env_file
from service.errors import ConfigurationError

_FILE = "_FILE"
MAX_SECRET_BYTES = 64 * 1024


def read_environment(env_file: Path = Path(".env")) -> "Environment":
    """The process's settings. Raises ConfigurationError."""
    return Environment(read_settings(os.environ, env_file))


def read_settings(environment: Mapping[str, str], env_file: Path) -> dict[str, str]:
    """What the environment says, and what the file says of the rest; an empty variable says nothing.

    `${NAME}` in the file stands for another setting, as the environment or a line above has it. Raises
    ConfigurationError.
    """
    said = {name: value for name, value in environment.items() if value}
    written: dict[str, str] = {}
    for name, text in read_env_file(env_file).items():
        known = {**written, **said}
        written[name] = "".join(atom.resolve(known) for atom in parse_variables(text))
    for name in said:
        written.pop(_other_name(name), None)
    return {**written, **said}


def _other_name(name: str) -> str:
    """The other way to give the same secret: NAME and NAME_FILE."""
    return name.removesuffix(_FILE) if name.endswith(_FILE) else name + _FILE


class Environment:
    """Settings by name. An empty value counts as absent. Values never appear in an error, names do."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: dict[str, str | None] = {}
        """Every name that was asked for, with its default as text: what `.env.example` has to list."""
        self.renamed: dict[str, str] = {}
        """Settings that were given under an older name: that name, and the one to use."""

    def rename(self, old_name: str, name: str) -> None:
        """Read a setting that has only its older name, and remember to warn about it."""
        if old := self._values.get(old_name):
            self.renamed[old_name] = name
            self._values = {**self._values, name: self._values.get(name) or old}

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

    def secret(self, name: str) -> str:
        """A text that is in NAME, or in the file that NAME_FILE names; empty if there is neither.

        Raises ConfigurationError, also if there are both.
        """
        value, path = self.text(name, ""), self.text(name + _FILE, "")
        if value and path:
            raise ConfigurationError(f"{name} and {name}{_FILE} are both set: give one of them")
        return _read_secret(name + _FILE, Path(path)) if path else value

    def required_secret(self, name: str) -> str:
        """The same, and there must be one. Raises ConfigurationError."""
        value = self.secret(name)
        if not value:
            raise ConfigurationError(
                f"{name} is not set: give it in the environment or in .env, or name a file in {name}{_FILE}"
            )
        return value

    def is_set(self, name: str) -> bool:
        """Whether there is a value: for a setting that has no meaning any more, and is not listed."""
        return bool(self._values.get(name))

    def words(self, name: str) -> tuple[str, ...]:
        """Texts separated by commas; none by default."""
        return split_words(self.text(name, ""))

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


def split_words(text: str) -> tuple[str, ...]:
    """What is between the commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _read_secret(name: str, path: Path) -> str:
    """The file's text without the space around it. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
        if len(content) > MAX_SECRET_BYTES:
            raise ConfigurationError(f"{name}: {path} is longer than {MAX_SECRET_BYTES} bytes")
        return content.decode().strip()
    except OSError as error:
        raise ConfigurationError(f"{name}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name}: {path} is not UTF-8") from None
