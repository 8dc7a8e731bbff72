"""API tokens for tests, made as `make token` makes them."""

import subprocess
import sys

from devstack.project import PROJECT

LIMIT_S = 60


def manage_tokens(database_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command of `make token` and the like."""
    return subprocess.run(
        [sys.executable, "-m", "service.manage_tokens", *arguments],
        cwd=PROJECT,
        env={"DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def make_token(database_url: str, name: str, scope: str) -> str:
    """Create a token."""
    made = manage_tokens(database_url, "create", name, scope)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
