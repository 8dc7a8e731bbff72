"""Compose and Dockerfile run what `make run` runs, and keep the rules for containers on a network."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from devstack.commands import API, MIGRATE, PARTS, PROJECT, WORKER
from service.config import requires_tokens

pytestmark = pytest.mark.req("DB-01")
FINAL_STAGE = (PROJECT / "Dockerfile").read_text().split("\nFROM ")[-1]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(PROJECT / "docker-compose.yml")
    services: dict[str, Any] = document["services"]
    return services


def test_the_services_are_the_database_and_the_parts_of_make_run(services: dict[str, Any]) -> None:
    assert list(services) == ["postgres", *PARTS]


def test_each_part_runs_the_command_that_make_run_runs(services: dict[str, Any]) -> None:
    assert ("dbmate", *services["migrate"]["command"]) == MIGRATE
    assert tuple(services["api"]["command"]) == API
    assert tuple(services["worker"]["command"]) == WORKER
    assert f"CMD {list(API)}".replace("'", '"') in FINAL_STAGE


def test_the_database_is_postgresql_18_with_health_check_and_named_volume(services: dict[str, Any]) -> None:
    postgres = services["postgres"]
    assert postgres["image"] == "postgres:18"
    assert "pg_isready" in postgres["healthcheck"]["test"][-1]
    assert postgres["volumes"] == ["postgres-data:/var/lib/postgresql"]
    assert "--builtin-locale=C.UTF-8" in postgres["environment"]["POSTGRES_INITDB_ARGS"]


def test_each_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for part in ("api", "worker"):
        assert services[part]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert services[part]["restart"] == "unless-stopped"


def test_only_the_api_is_published_and_only_on_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:${PORT:-3000}:3000"]}
    assert services["api"]["environment"]["HOST"] == "0.0.0.0"  # noqa: S104
    # Whoever shares its network reaches it, so that it asks for tokens.
    assert "AUTH" not in services["api"]["environment"]
    assert requires_tokens("auto", services["api"]["environment"]["HOST"])


def test_secrets_are_named_not_written(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|URL", variable):
                assert re.search(r"\$\{(POSTGRES_PASSWORD|ENCRYPTION_KEY):\?", value), (name, variable)


def test_the_final_stage_has_an_ordinary_user_and_nothing_to_build_with() -> None:
    assert re.search(r"^USER (?!0\b|root\b)\S+$", FINAL_STAGE, re.MULTILINE)
    assert not re.search(r"apt-get|pip install|gcc|make\b", FINAL_STAGE)
    assert FINAL_STAGE.index("USER ") < FINAL_STAGE.index("CMD ")


def test_what_the_image_copies_is_there_and_nothing_else_is_sent() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    allowed = re.findall(r"^!(\S+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(allowed)
    assert [name for name in copied if not Path(PROJECT / name).exists()] == []
