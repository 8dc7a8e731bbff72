"""`python -m devstack run | demo | migrate | api | worker | tokens … | rotate-keys | take-over`."""

import argparse
import importlib
import os

from devstack.commands import PARTS, TOOLS
from devstack.run.environment import drop_foreign
from devstack.terminal import show_any_character


def main() -> int:
    """Do what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="devstack", description="Run Millgate, or one part of it, here.")
    parser.add_argument("what", choices=["run", "demo", *PARTS, *TOOLS])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for tokens alone")
    asked = parser.parse_args()
    what = asked.what
    show_any_character()
    if asked.arguments and what not in TOOLS:
        parser.error(f"{what} takes no arguments")
    if what in TOOLS or what in PARTS:
        # Of psycopg there is one implementation here; it looks for another when it is imported.
        os.environ.pop("PSYCOPG_IMPL", None)
        from devstack.run.database import take_over  # noqa: PLC0415
        from devstack.run.tools import run_part, run_tool  # noqa: PLC0415

        if what == "take-over":
            return take_over()
        return run_tool(what, asked.arguments) if what in TOOLS else run_part(what)
    drop_foreign()
    return int(getattr(importlib.import_module(f"devstack.run.{what}"), what)())


if __name__ == "__main__":
    raise SystemExit(main())
