"""The tests enforce the rules of `make check`, too: imports, types, style."""

import tomllib

import pytest

from devstack.checks.check import checks, run_check
from devstack.project import PROJECT
from service import __version__


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("import rules", marks=pytest.mark.req("QUAL-01")),
        pytest.param("mypy", marks=pytest.mark.req("QUAL-08")),
        pytest.param("ruff check", marks=pytest.mark.req("QUAL-08")),
        pytest.param("Compose files", marks=pytest.mark.req("DB-01")),
    ],
)
@pytest.mark.timeout(300)
def test_the_check_passes(name: str) -> None:
    outcome = run_check(name, checks()[name])
    assert outcome.passed, outcome.output


def test_the_version_is_in_one_place() -> None:
    """The project's own metadata cannot import it."""
    metadata = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert metadata["project"]["version"] == __version__
