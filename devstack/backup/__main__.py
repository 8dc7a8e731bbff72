"""`python -m devstack.backup make | check | restore FILE`."""

import argparse
import os
import sys
from pathlib import Path

from devstack.advice import advice
from devstack.backup.backup import back_up, check_backup
from devstack.backup.restore import check_fits, restore
from devstack.errors import StackError
from devstack.run.database import on_database
from devstack.run.settings import settings_of
from devstack.terminal import show_any_character
from service.errors import ConfigurationError


def main() -> int:
    """Do what the command line asks for; return the exit code."""
    show_any_character()
    parser = argparse.ArgumentParser(prog="backup")
    parser.add_argument("what", choices=["make", "check", "restore"])
    parser.add_argument("file", type=_file)
    asked = parser.parse_args()
    try:
        return _run(asked.what, asked.file)
    except (StackError, ConfigurationError) as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(advice(error), file=sys.stderr)
    return 1


def _run(what: str, file: Path) -> int:
    if what == "make":
        return on_database(lambda settings, environment: back_up(settings, environment, file))
    if what == "check":
        return check_backup(settings_of(os.environ), file)
    fits = check_fits(settings_of(os.environ), file)
    return on_database(lambda settings, environment: restore(settings, environment, fits), make=True)


def _file(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a file is needed: make backup FILE=millgate.dump")
    return Path(text).expanduser().absolute()


if __name__ == "__main__":
    sys.exit(main())
