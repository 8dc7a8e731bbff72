"""The file `.env`: read line by line, so that no line falls away unnoticed."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from service.errors import ConfigurationError

# Only `make run` reads the first two; the API warns about the third itself.
# Compose and Docker have prefixes.
_OTHER_NAMES = frozenset({"MILLGATE_DATA_DIR", "WORKERS", "TRIAL_TIMEOUT_S"})
_OTHER_PREFIXES = ("COMPOSE_", "DOCKER_")
_USUAL_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_REFERENCE = re.compile(r"\$\{([^}:]+)")


def read_env_file(path: Path) -> dict[str, str]:
    """Names and values as they are written, nothing if there is no such file. Raises ConfigurationError."""
    return dict(_settings(path, _text_of(path)))


def unknown_names(path: Path) -> str:
    """One line that names what no part reads, empty if there is nothing of the kind.

    A name counts as known if `.env.example` beside the file lists it, or the file itself refers to it.
    Ignores an unreadable file: reading its settings reports that.
    """
    try:
        known, written = set(read_env_file(path.with_name(".env.example"))), read_env_file(path)
    except ConfigurationError:
        return ""
    if not known:
        return ""
    known |= _OTHER_NAMES | {name for text in written.values() for name in _REFERENCE.findall(text)}
    unknown = [name for name in written if name not in known and not name.startswith(_OTHER_PREFIXES)]
    if not unknown:
        return ""
    return f"{path}: no part of Millgate reads {', '.join(_described(name, known) for name in unknown)}"


def _described(name: str, known: Iterable[str]) -> str:
    """What looks like no name may be a piece of a secret, and is not shown."""
    close = get_close_matches(name.upper(), known, n=1, cutoff=0.75)
    if close:
        return f"{name} (is {close[0]} meant?)"
    return name if _USUAL_NAME.fullmatch(name) else "a name that is not shown"


def _settings(path: Path, text: str) -> Iterator[tuple[str, str]]:
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise ConfigurationError(f"{path}, line {_line_of(binding)}: {_problem(binding)}")
        if binding.key is not None:
            yield binding.key, binding.value or ""


def _line_of(binding: Binding) -> int:
    """The parser counts from the end of the setting before, so with the empty lines between."""
    text = binding.original.string
    above = text[: len(text) - len(text.lstrip())]
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", above))


def _problem(binding: Binding) -> str:
    """Never with the value, which may be a secret; nor with a word that may be a piece of one."""
    before, sign, _ = binding.original.string.strip().partition("=")
    word = (before.split() or [""])[0].rstrip(":")
    name = f'"{word}"' if _USUAL_NAME.fullmatch(word) else "this setting"
    if sign and before.strip() == word:
        return f'the value of {name} does not end where its quotes end: write NAME="value"'
    return f'{name} has no "=": write NAME=value'


def _text_of(path: Path) -> str:
    """Nothing, if there is no such file. Raises ConfigurationError."""
    try:
        # Some editors begin a file with a mark of its encoding.
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}): it has to be a file that this user may read"
        ) from None
    if "\0" in text:
        raise ConfigurationError(f"{path} is not UTF-8 text: save it as UTF-8")
    return text
