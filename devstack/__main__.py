"""`python -m devstack run | demo | migrate | api | worker | tokens … | rotate-keys`."""

import argparse
import importlib

from devstack.commands import PARTS, TOOLS
from devstack.environment import drop_foreign
from devstack.terminal import show_any_character
from devstack.tools import run_part, run_tool


def main() -> int:
    """Do what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="devstack", description="Run Millgate, or one part of it, here.")
    parser.add_argument("what", choices=["run", "demo", *PARTS, *TOOLS])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for tokens alone")
    asked = parser.parse_args()
    what = asked.what
    show_any_character()
    if what in TOOLS:
        return run_tool(what, asked.arguments)
    if asked.arguments:
        parser.error(f"{what} takes no arguments")
    if what in PARTS:
        return run_part(what)
    drop_foreign()
    return int(getattr(importlib.import_module(f"devstack.{what}"), what)())


if __name__ == "__main__":
    raise SystemExit(main())
