"""Malformed lines of `.env`, and names that no part reads."""

from pathlib import Path

import pytest

from devstack.project import PROJECT
from service.env_file import unknown_names
from service.environment import read_settings
from service.errors import ConfigurationError

pytestmark = pytest.mark.req("QUAL-06")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("AUTH required", '"AUTH" has no "=": write NAME=value'),
        ("AUTH: required", '"AUTH" has no "=": write NAME=value'),
        ("AUTH : required", '"AUTH" has no "=": write NAME=value'),
        ("AUTH", '"AUTH" has no "=": write NAME=value'),
        ("export AUTH", 'this setting has no "=": write NAME=value'),
        ("AUTH required a=b", '"AUTH" has no "=": write NAME=value'),
        ("hidden", 'this setting has no "=": write NAME=value'),
        ("ENCRYPTION_KEY hidden=", '"ENCRYPTION_KEY" has no "=": write NAME=value'),
        (
            'ENCRYPTION_KEY="hidden',
            'the value of "ENCRYPTION_KEY" does not end where its quotes end: write NAME="value"',
        ),
        (
            "ENCRYPTION_KEY='hidden' hidden",
            'the value of "ENCRYPTION_KEY" does not end where its quotes end: write NAME="value"',
        ),
    ],
)
def test_a_malformed_line_stops_the_start(line: str, problem: str, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"# A comment\nHOST=0.0.0.0\n\n\n{line}\nPORT=1\n")
    with pytest.raises(ConfigurationError) as caught:
        read_settings({}, env_file)
    assert str(caught.value) == f"{env_file}, line 5: {problem}"


def test_empty_values_comments_and_exports_are_accepted(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("\n# A\n#B\nHOST=\nexport PORT=1 # why\nURL='a\nb'\n   \n")
    assert read_settings({}, env_file) == {"HOST": "", "PORT": "1", "URL": "a\nb"}


def test_unknown_names_are_reported_once(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    (tmp_path / ".env.example").write_text("HOST=\nAUTH=auto\nFORCE_HTTPS=false\nDATABASE_URL=\n")
    text = (
        "AUHT=required\nHOST=a\nforce_https=true\nPLANT=x\nDATABASE_URL=${PLANT}\nCOMPOSE_PROFILES=a\nABC=1\n"
    )
    env_file.write_text(text + "WORKERS=2\nMILLGATE_DATA_DIR=/x\nq83vSecretxyz=\n")
    assert unknown_names(env_file) == (
        f"{env_file}: no part of Millgate reads AUHT (is AUTH meant?), force_https (is FORCE_HTTPS meant?), "
        "ABC, a name that is not shown"
    )


def test_every_name_of_the_example_is_known(tmp_path: Path) -> None:
    example = (PROJECT / ".env.example").read_text()
    for name in (".env", ".env.example"):
        (tmp_path / name).write_text(example)
    assert unknown_names(tmp_path / ".env") == ""
    (tmp_path / ".env.example").unlink()
    assert unknown_names(tmp_path / ".env") == ""
