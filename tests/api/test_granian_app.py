"""What granian loads: an application that answers, with nothing of gunicorn's around it."""

import os
import subprocess
import sys

from devstack.commands import PROJECT
from tests.api.server import KEY

ASK = """
from service.granian_app import create_app
client = create_app().test_client()
for path in ("/api/health", "/api/factories", "/metrics"):
    print(client.get(path).status_code)
"""


def test_it_answers_with_its_pool_open(database_url: str) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "ENCRYPTION_KEY": KEY}
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert asked.stdout.split() == ["200", "200", "200"]
