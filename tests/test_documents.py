"""The documents match the code: examples run, and lists, diagrams and names are those of the code."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from devstack.checks.readme import README_URL, example_script
from devstack.project import PROJECT
from service.api.openapi.document import build_openapi
from service.app import create_app
from service.config import ApiConfig
from service.environment import Environment
from service.gateway_states import ACTIONS, UNKNOWN, ReasonCode, State
from tests.support.api_server import KEY, ApiServer
from tests.support.listed_settings import listed_settings
from workers.config import WorkerConfig
from workers.gateway_manager.states import TRANSITIONS

LIMIT_S = 60
COMPOSE_ONLY = {
    "COMPOSE_FILE": "docker-compose.yml",
    "SITE_ADDRESS": "localhost",
    "DATABASE_SUBNET": "172.16.94.0/24",
}
NEEDED = {"DATABASE_URL": "postgresql://127.0.0.1/none", "ENCRYPTION_KEY": KEY}
DOCUMENTS = (
    *(PROJECT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((PROJECT / "docs").glob("*.md")),
    PROJECT / "bench" / "README.md",
)
CODE_FOLDERS = ("service", "workers", "devstack", "simulator", "chaos", "bench", "tests", "db")
NAME = re.compile(r"(?<![A-Z0-9_{-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![A-Z0-9_(])")
OTHER_NAMES = {
    # Names of `make`, the system, libpq and Compose.
    *("DEMO_SECONDS", "MILLGATE_DATA_DIR", "MILLGATE_DEMO_DIR"),
    *("CLOCK_BOOTTIME", "GLIBC_TUNABLES"),
}
"""Words in capitals in a document that are neither settings nor error codes."""
MADE_LATER = {"secrets/"}


def settings_read() -> dict[str, str]:
    """Return every setting that API and workers read, with its default."""
    environment = Environment(NEEDED)
    ApiConfig.read(environment)
    WorkerConfig.read(environment)
    return {name: default or "" for name, default in environment.asked.items()}


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


@pytest.mark.req("QUAL-06")
def test_every_setting_is_listed_with_its_default() -> None:
    assert listed_settings() == settings_read() | COMPOSE_ONLY


def section(path: str, heading: str) -> str:
    """Return the text below a heading, up to the next one."""
    text = (PROJECT / path).read_text()
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_every_endpoint_is_listed() -> None:
    listed = {
        f"{method} {path}"
        for row in section("docs/api.md", "Endpoints").splitlines()
        for methods, path in re.findall(r"((?:`[A-Z]+`, )*`[A-Z]+) (/[^`]*)`", row.partition(" | ")[0])
        for method in re.findall("[A-Z]+", methods)
    }
    paths = openapi()["paths"]
    offered = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert listed == offered


def test_every_state_and_reason_is_explained() -> None:
    explained = set(re.findall(r"`(\w+)`", section("docs/api.md", "States")))
    assert {*State, UNKNOWN, *ReasonCode} <= explained


def test_the_actions_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", section("docs/api.md", "States"), re.MULTILINE)
    assert dict(rows) == {str(code): action for code, action in ACTIONS.items()}


def test_the_drawn_transitions_are_those_of_the_code() -> None:
    drawn = {
        (before, after)
        for many, others in re.findall(
            r"^    (.+) --> (.+)$", section("ARCHITECTURE.md", "States"), re.MULTILINE
        )
        for before in many.split(" & ")
        for after in others.split(" & ")
    }
    assert drawn == {(before, after) for before, afters in TRANSITIONS.items() for after in afters}


def test_every_package_is_on_the_map() -> None:
    packages = {
        f"{path.parent.relative_to(PROJECT)}/"
        for folder in ("service", "workers")
        for path in (PROJECT / folder).rglob("__init__.py")
    }
    # A package of packages alone needs no entry.
    listed = set(re.findall(r"`([\w/]+/)`", section("ARCHITECTURE.md", "Packages")))
    assert packages - listed == {"service/api/", "service/database/"}


def test_every_table_has_a_writer() -> None:
    schema = (PROJECT / "db" / "schema.sql").read_text()
    relations = set(re.findall(r"^CREATE (?:UNLOGGED )?(?:TABLE|VIEW) public\.(\w+)", schema, re.MULTILINE))
    listed = set(re.findall(r"`(\w+)`", section("ARCHITECTURE.md", "The law")))
    assert relations - listed == {"schema_migrations"}


def test_database_names_in_documents_exist() -> None:
    schema = set(re.findall(r"\w+", (PROJECT / "db" / "schema.sql").read_text()))
    named = re.findall(r"`(?:\w+\.)?([a-z]+(?:_[a-z]+)+)`", section("docs/internals.md", "The database"))
    assert len(named) >= 10
    assert set(named) - schema == {"pg_trgm"}


def test_every_thread_has_a_task() -> None:
    modules = [path for folder in ("service", "workers") for path in (PROJECT / folder).rglob("*.py")]
    named = {
        name for path in modules for name in re.findall(r'BackgroundThread\(.*?"([a-z-]+)', path.read_text())
    }
    listed = set(re.findall(r"`([a-z-]+)…?`", section("ARCHITECTURE.md", "Threads")))
    assert len(named) >= 10
    assert named == listed


@cache
def openapi() -> dict[str, Any]:
    """Return the API's description."""
    return build_openapi(create_app(ApiConfig.read(Environment(NEEDED))))


@cache
def files() -> str:
    """Return the paths of all files and folders of the code, each on a line with a slash in front."""
    paths = [path for folder in CODE_FOLDERS for path in (PROJECT / folder).rglob("*")]
    kept = [path for path in paths if not {"node_modules", ".venv"} & set(path.parts)]
    return "".join(f"/{path.relative_to(PROJECT)}{'/' * path.is_dir()}\n" for path in kept)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_in_documents_exist(document: Path) -> None:
    text = document.read_text()
    known = {*settings_read(), *COMPOSE_ONLY, *OTHER_NAMES, *NAME.findall(str(openapi()))}
    assert set(NAME.findall(text)) - known == set()
    named = re.findall(r"`((?:[\w-]+/)*[\w.-]+\.(?:py|sql|toml|lua)|(?:[a-z_]+/)+)`", text)
    missing = [name for name in named if not (PROJECT / name).exists() and f"/{name}\n" not in files()]
    assert set(missing) - MADE_LATER == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_has_a_target(document: Path) -> None:
    dead = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", document.read_text()):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            dead.append(link)
    assert dead == []


def anchors(text: str) -> set[str]:
    """Return the anchors of a document: its headings, as repository hosts name them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("name", "most"), [("README.md", 120), ("ARCHITECTURE.md", 150)])
def test_first_documents_are_short(name: str, most: int) -> None:
    assert len((PROJECT / name).read_text().splitlines()) <= most
