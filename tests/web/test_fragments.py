"""The part of a page that is fetched again and again, also while something fails."""

from pathlib import Path

import pytest

from devstack.postgres.server import EmbeddedPostgres
from tests.support.api_server import ApiServer
from tests.support.web_client import WebClient


@pytest.mark.req("GATEWAY-08")
def test_without_a_database_a_fragment_says_so_and_claims_no_time(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with ApiServer(own_postgres.url(), tmp_path / "api.log") as api:
        own_postgres.stop()
        fragment = WebClient(api).get("/ui/", Millgate_Fragment="1")
        text = fragment.body.decode()
        assert fragment.status == 500
        assert 'data-error="DATABASE_UNAVAILABLE"' in text
        assert "data-as-of" not in text
        assert "unhandled exception" not in api.log_path.read_text()
