"""What a person at a terminal sees of us, whatever the terminal can show."""

import io
import os
import sys
from pathlib import Path


def show_any_character() -> None:
    """What standard output has no character for becomes a question mark from now on, instead of an error.

    Standard error needs no such help.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def say(line: str) -> None:
    """Show a person a line; a terminal that went away is no reason to stop."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (open until we end)
