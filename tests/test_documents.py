"""What the documents promise: the README's examples run, and every setting is listed with its default."""

import shutil
import subprocess
from pathlib import Path

import pytest

from devstack.checks.readme import README_URL, example_script
from devstack.project import PROJECT
from service.config import ApiConfig
from service.environment import Environment
from tests.support.api_server import ApiServer
from workers.config import WorkerConfig

LIMIT_S = 60
COMPOSE_ONLY = {
    "COMPOSE_FILE": "docker-compose.yml",
    "SITE_ADDRESS": "localhost",
    "DATABASE_SUBNET": "172.16.94.0/24",
}
NEEDED = {"DATABASE_URL": "postgresql://127.0.0.1/none", "ENCRYPTION_KEY": "none"}


@pytest.mark.req("QUAL-07")
@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's examples need curl")
def test_the_examples_of_the_readme_run(database_url: str, tmp_path: Path) -> None:
    with ApiServer(database_url, tmp_path / "api.log") as api:
        script = example_script().replace(README_URL, f"http://127.0.0.1:{api.port}")
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert script.count("curl") >= 10
        assert '"code":"no_worker"' in result.stdout
        assert '"desired_state":"disconnected"' in result.stdout
        assert "secret" not in result.stdout


def listed_settings() -> dict[str, str]:
    """Names and values of .env.example; each has an explanation above it."""
    listed: dict[str, str] = {}
    explained = False
    for line in (PROJECT / ".env.example").read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if line.startswith("#") and not line.startswith("# ---"):
            explained = True
        elif is_setting:
            assert explained, f"{name} is not explained"
            listed[name] = value
        else:
            explained = False
    return listed


@pytest.mark.req("QUAL-06")
def test_every_setting_is_listed_with_its_default() -> None:
    environment = Environment(NEEDED)
    ApiConfig.read(environment)
    WorkerConfig.read(environment)
    asked = {name: default or "" for name, default in environment.asked.items()}
    assert listed_settings() == asked | COMPOSE_ONLY
