"""A client generated from the description runs the README's example."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.commands import local
from tests.support.api.tokens import make_token
from tests.support.api_server import ApiServer

LIMIT_S = 100


# The generator does not know the media types of files of lines; they are sent unchanged.
SETTINGS = """
package_name_override: millgate_client
post_hooks: []
content_type_overrides:
  text/csv: application/octet-stream
  application/x-ndjson: application/octet-stream
  application/jsonl: application/octet-stream
"""


def run(*command: str, **environment: str) -> str:
    """Run a command successfully; return its output."""
    done = subprocess.run(
        local(command), env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.req("QUAL-07")
@pytest.mark.timeout(2 * LIMIT_S + 40)
def test_a_generated_client_runs_the_readmes_example(
    start_api: Callable[..., ApiServer], database_url: str, tmp_path: Path
) -> None:
    api = start_api(AUTH="required")
    document = tmp_path / "openapi.json"
    document.write_bytes(api.call("GET", "/api/openapi.json").body)
    settings = tmp_path / "settings.yml"
    settings.write_text(SETTINGS)
    written = str(tmp_path / "millgate_client")
    said = run(
        *("openapi-python-client", "generate", "--path", str(document), "--config", str(settings)),
        *("--meta", "none", "--output-path", written, "--fail-on-warning"),
    )
    assert "Warning" not in said
    walk = Path(__file__).with_name("readme_walk.py")
    token = make_token(database_url, "client", "write")
    url = f"http://127.0.0.1:{api.port}"
    assert run("python", str(walk), url, token, PYTHONPATH=str(tmp_path)) == "walked\n"
