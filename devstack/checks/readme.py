"""The README's commands, for the tests and `make try-on`, which run them."""

import re

from devstack.project import PROJECT

README_URL = "http://127.0.0.1:3000"
"""The service's URL in its examples."""


def example_script() -> str:
    """Return all bash examples of the README as one script."""
    return "\n".join(re.findall(r"```bash\n(.*?)```", _text(), re.DOTALL))


def debian_packages() -> list[str]:
    """Return the packages that the README has installed on a bare Debian."""
    command = re.search(r"`(?:sudo )?apt(?:-get)? install ([^`]+)`", _text())
    return [] if command is None else [word for word in command[1].split() if not word.startswith("-")]


def _text() -> str:
    return (PROJECT / "README.md").read_text(encoding="utf-8")
