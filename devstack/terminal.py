"""Output for the user, on any terminal."""

import io
import os
import sys
from pathlib import Path


def show_any_character() -> None:
    """Print a question mark for characters that standard output cannot encode, instead of raising.

    Standard error does so by default.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def say(line: str) -> None:
    """Print a line; a closed terminal is no error."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (open until we end)
