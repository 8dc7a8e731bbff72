"""Compose and Dockerfile run the commands of `make run`, and confine their containers."""

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from devstack.commands import API, MIGRATE, PARTS, WORKER
from devstack.project import PROJECT
from service.config import requires_tokens
from service.crypto import Sealer, Secret
from service.environment import Environment
from tests.support.listed_settings import listed_settings
from workers.config import WorkerConfig

pytestmark = pytest.mark.req("DB-01")
FINAL_STAGE = (PROJECT / "Dockerfile").read_text().split("\nFROM ")[-1]
SECRETS = ["postgres_password", "encryption_key", "encryption_keys_old"]


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(PROJECT / name)
    return document


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return load("docker-compose.yml")


@pytest.fixture(scope="module")
def services(document: dict[str, Any]) -> dict[str, Any]:
    services: dict[str, Any] = document["services"]
    return services


@pytest.fixture(scope="module")
def with_tls(services: dict[str, Any]) -> dict[str, Any]:
    """Return both files merged, for the keys of the second one."""
    tls = load("docker-compose.tls.yml")["services"]
    assert list(tls["api"]) == ["environment"]
    api = {**services["api"], "environment": {**services["api"]["environment"], **tls["api"]["environment"]}}
    return {**services, "api": api, "proxy": tls["proxy"]}


def with_defaults(text: str) -> str:
    """Return the value that Compose uses when no variable is set."""
    return re.sub(r"\$\{\w+:-([^{}]*)\}", r"\1", text)


def test_the_services_are_the_database_and_the_parts_of_make_run(services: dict[str, Any]) -> None:
    assert list(services) == ["postgres", *PARTS]
    # A profile could start a service without settings that it needs from another one.
    assert [name for name, service in services.items() if "profiles" in service] == []


def test_each_part_runs_the_command_that_make_run_runs(services: dict[str, Any]) -> None:
    assert (services["migrate"]["entrypoint"][-1], *services["migrate"]["command"]) == MIGRATE
    assert tuple(services["api"]["command"]) == API
    assert tuple(services["worker"]["command"]) == WORKER
    assert f"CMD {list(API)}".replace("'", '"') in FINAL_STAGE


def test_the_image_is_built_once(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "build" in service] == ["api"]
    assert services["worker"]["image"] == services["api"]["image"]
    assert services["worker"]["pull_policy"] == "never"


def test_the_database_is_postgresql_18_with_health_check_and_named_volume(services: dict[str, Any]) -> None:
    postgres = services["postgres"]
    assert postgres["image"] == "postgres:18"
    assert "pg_isready" in postgres["healthcheck"]["test"][-1]
    assert postgres["volumes"] == ["postgres-data:/var/lib/postgresql"]
    assert "--builtin-locale=C.UTF-8" in postgres["environment"]["POSTGRES_INITDB_ARGS"]


def test_each_service_waits_for_its_dependencies(services: dict[str, Any]) -> None:
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for part in ("api", "worker"):
        assert services[part]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert services[part]["restart"] == "unless-stopped"


def test_every_container_is_confined(services: dict[str, Any], with_tls: dict[str, Any]) -> None:
    for name, service in with_tls.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"mem_limit", "pids_limit", "networks", "logging"} <= service.keys(), name
    assert [name for name, service in with_tls.items() if "cap_add" in service] == ["proxy"]
    assert services["postgres"]["user"] == "postgres"


def test_api_and_worker_have_health_checks(services: dict[str, Any]) -> None:
    assert services["worker"]["healthcheck"]["test"] == ["CMD", "python", "-m", "workers.health_check"]
    # The health check asks the metrics.
    assert int(services["worker"]["environment"]["METRICS_PORT"]) > 0
    assert 'CMD ["python", "-m", "service.health_check"]\n' in FINAL_STAGE
    assert "healthcheck" not in services["api"]


def test_only_api_and_proxy_are_published_and_the_api_only_on_loopback(
    services: dict[str, Any], with_tls: dict[str, Any]
) -> None:
    published = {name: service["ports"] for name, service in with_tls.items() if "ports" in service}
    assert published == {
        "api": ["127.0.0.1:${PORT:-3000}:3000"],
        "proxy": ["80:80", "443:443", "443:443/udp"],
    }
    assert services["api"]["environment"]["HOST"] == "0.0.0.0"  # noqa: S104
    # Every container on its network reaches it, so it requires tokens.
    assert "AUTH" not in services["api"]["environment"]
    assert requires_tokens("auto", services["api"]["environment"]["HOST"])


def test_settings_of_the_proxy_are_in_the_tls_file_only(
    services: dict[str, Any], with_tls: dict[str, Any]
) -> None:
    of_the_proxy = {
        "TRUSTED_PROXIES": "1",
        "FORCE_HTTPS": "true",
        "ALLOWED_HOSTS": "${ALLOWED_HOSTS:-${SITE_ADDRESS:-localhost}}",
    }
    assert of_the_proxy.keys().isdisjoint(services["api"]["environment"])
    # They override a .env copied from .env.example.
    assert of_the_proxy.items() <= with_tls["api"]["environment"].items()
    assert [file["path"] for file in services["api"]["env_file"]] == [".env"]
    assert with_tls["proxy"]["networks"] == ["clients"]
    caddyfile = (PROJECT / "Caddyfile").read_text()
    assert "reverse_proxy api:3000 {" in caddyfile
    # Caddy replaces X-Forwarded-For and -Proto, and passes on the other headers that the API trusts.
    assert "header_up -X-Forwarded-Prefix" in caddyfile


def test_no_gateway_is_in_the_network_of_the_database(
    document: dict[str, Any], services: dict[str, Any]
) -> None:
    network = document["networks"]["database"]
    assert (network["internal"], network["enable_ipv6"]) == (True, False)
    [subnet] = [with_defaults(part["subnet"]) for part in network["ipam"]["config"]]
    assert subnet == listed_settings()["DATABASE_SUBNET"]
    denied = with_defaults(services["worker"]["environment"]["GATEWAY_NETWORKS_DENIED"])
    needed = {"DATABASE_URL": "postgresql://h/d", "ENCRYPTION_KEY": "none"}
    policy = WorkerConfig.read(Environment({**needed, "GATEWAY_NETWORKS_DENIED": denied})).networks
    first = subnet.replace(".0/24", ".2")
    assert not policy.allows(first)
    assert not policy.allows(f"::ffff:{first}")
    assert policy.allows("172.16.95.2")
    # The worker shares no other network with services that it must not reach.
    assert services["worker"]["networks"] == ["database", "gateways"]
    assert [name for name, service in services.items() if "gateways" in service["networks"]] == ["worker"]


def test_secrets_are_passed_as_files_only(document: dict[str, Any], services: dict[str, Any]) -> None:
    assert document["secrets"] == {name: {"file": f"secrets/{name}"} for name in SECRETS}
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|URL", variable):
                is_named = variable.endswith("_FILE") and value.removeprefix("/run/secrets/") in SECRETS
                has_none = value == "" or re.fullmatch(r"postgresql://\w+@[^:]+:\d+/.*", value)
                assert is_named or has_none, (name, variable)
    # Even with a .env that `make run` wrote.
    for name in ("ENCRYPTION_KEY", "ENCRYPTION_KEYS_OLD", "DATABASE_PASSWORD", "DATABASE_URL_FILE"):
        assert services["api"]["environment"][name] == services["worker"]["environment"][name] == ""


def test_make_secrets_writes_missing_files_and_keeps_existing_ones(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_bytes((PROJECT / "Makefile").read_bytes())
    directory = tmp_path / "secrets"

    def make_secrets() -> dict[str, str]:
        command = ["make", "--silent", "secrets"]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=30, env={"PATH": os.environ["PATH"]})
        return {path.name: path.read_text() for path in directory.iterdir()}

    made = make_secrets()
    assert set(made) == set(SECRETS)
    Sealer(Secret(made["encryption_key"].strip()))
    assert re.fullmatch(r"[0-9a-f]{48}", made["postgres_password"])
    assert made["encryption_keys_old"] == ""
    # The container's user can read the file; other users cannot enter the folder.
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o644}
    (directory / "encryption_keys_old").write_text("an old one")
    assert make_secrets() == {**made, "encryption_keys_old": "an old one"}


def test_the_final_stage_has_an_ordinary_user_and_no_build_tools() -> None:
    assert re.search(r"^USER (?!0\b|root\b)\S+$", FINAL_STAGE, re.MULTILINE)
    assert not re.search(r"apt-get|pip install|gcc|make\b", FINAL_STAGE)
    assert FINAL_STAGE.index("USER ") < FINAL_STAGE.index("\nCMD ")


def test_the_build_context_is_exactly_what_the_image_copies() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    allowed = re.findall(r"^!(\S+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(allowed)
    assert [name for name in copied if not Path(PROJECT / name).exists()] == []
