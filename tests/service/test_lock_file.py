"""The product imports only packages of requirements.txt, none that are for development alone."""

import subprocess
import sys

import pytest
from packaging.utils import canonicalize_name

from devstack.checks.wheels import read_pins
from devstack.project import PROJECT
from tests.support.api_server import KEY

LIMIT_S = 60
PROGRAMS = {
    "requirements.txt": (
        "service.gunicorn_conf",
        "service.app",
        "service.manage_tokens",
        "service.rotate_keys",
        "service.take_over",
        "service.health_check",
        "workers.__main__",
        "workers.health_check",
    ),
    "requirements-local.txt": (
        "devstack.__main__",
        "devstack.backup.__main__",
        "devstack.rehearsal.__main__",
        "devstack.run.run",
        "devstack.run.demo",
        "simulator.__main__",
    ),
}
# Before our modules are imported: those that Python itself loads.
SCRIPT = """
import importlib, importlib.metadata, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
owners = importlib.metadata.packages_distributions()
loaded = {name.partition(".")[0] for name in sys.modules.keys() - before}
print(*{owner for name in loaded for owner in owners.get(name, [])}, sep="\\n")
"""


@pytest.mark.parametrize("lock_file", PROGRAMS)
def test_every_imported_package_is_locked(lock_file: str) -> None:
    imported = subprocess.run(
        [sys.executable, "-c", SCRIPT, *PROGRAMS[lock_file]],
        cwd="/",
        env={
            "PYTHONPATH": str(PROJECT),
            "DATABASE_URL": "postgresql://127.0.0.1/none",
            "ENCRYPTION_KEY": KEY,
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert imported.returncode == 0, imported.stderr
    names = {canonicalize_name(name) for name in imported.stdout.split()}
    locked = {canonicalize_name(pin.name) for pin in read_pins((PROJECT / lock_file).read_text())}
    assert {"psycopg", "python-dotenv"} <= names
    assert names - locked == set()
