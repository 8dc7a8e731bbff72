"""The rules that `make check` holds, held by the tests too: imports, types, style."""

import pytest

from devstack.checks.check import checks, run_check


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
def test_the_rule_holds(name: str) -> None:
    outcome = run_check(name, checks()[name])
    assert outcome.passed, outcome.output
