"""`python -m devstack run | demo | migrate | api | worker`."""

import argparse
import importlib
import os

from devstack.commands import PARTS, PROJECT, local


def main() -> int:
    """Do what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="devstack", description="Run Millgate, or one part of it, here.")
    parser.add_argument("what", choices=["run", "demo", *PARTS])
    what = parser.parse_args().what
    if what not in PARTS:
        return int(getattr(importlib.import_module(f"devstack.{what}"), what)())
    command = local(PARTS[what])
    os.chdir(PROJECT)
    return os.execv(command[0], command)  # noqa: S606  (signals must reach the part itself)


if __name__ == "__main__":
    raise SystemExit(main())
