"""What the README tells a person to do, for whoever does just that: tests, and `make try-on`."""

import re

from devstack.project import PROJECT

README_URL = "http://127.0.0.1:3000"
"""Where its examples expect the service."""


def example_script() -> str:
    """All that the README shows in bash."""
    return "\n".join(re.findall(r"```bash\n(.*?)```", _text(), re.DOTALL))


def debian_packages() -> list[str]:
    """What a bare Debian needs, as the README's command names it."""
    command = re.search(r"`(?:sudo )?apt(?:-get)? install ([^`]+)`", _text())
    return [] if command is None else [word for word in command[1].split() if not word.startswith("-")]


def _text() -> str:
    return (PROJECT / "README.md").read_text(encoding="utf-8")
