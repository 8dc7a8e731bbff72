"""Bookkeeping never fails or delays a request."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from devstack.postgres.server import EmbeddedPostgres
from tests.support.api.tokens import bearer, make_token
from tests.support.api_server import ApiServer
from tests.support.waiting import wait_until

# Far below the statement timeout, which waiting for a lock would take.
SOON_S = 2.0
FULL = """
    CREATE FUNCTION be_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
    END;
    $$;
    CREATE TRIGGER be_full BEFORE UPDATE ON api_tokens FOR EACH ROW EXECUTE FUNCTION be_full();
"""
USED = "SELECT last_used_at IS NOT NULL FROM api_tokens WHERE name = 'reader'"


def statuses_of_reads(api: ApiServer, token: str) -> list[int]:
    """Return the status of every read that needs a token; assert that each is quick."""
    gateway = "00000000-0000-7000-8000-00000000dead"
    found = []
    for path in (
        "/api/factories", "/api/gateways", "/api/workers", "/api/events", "/api/status/summary", "/metrics",
        f"/api/gateways/{gateway}",
    ):  # fmt: skip
        began = monotonic()
        found.append(api.call("GET", path, headers=bearer(token)).status)
        assert monotonic() - began < SOON_S, path
    return found


ALL_READ = [200] * 6 + [404]


@contextmanager
def requiring_tokens(url: str, log: Path) -> Iterator[tuple[ApiServer, str]]:
    """Yield a server and an unused token."""
    token = make_token(url, "reader", "read")
    with ApiServer(url, log, {"AUTH": "required"}) as api:
        yield api, token


@pytest.mark.req("GATEWAY-08")
def test_a_read_only_database_is_read_with_tokens_that_were_not_used_today(
    own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    def set_read_only(word: str) -> None:
        with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {word}".encode())
            connection.execute("SELECT pg_reload_conf()")
        with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
            shown = b"SHOW default_transaction_read_only"
            wait_until(lambda: connection.execute(shown).fetchone() == (word,), what="the server to apply it")

    with requiring_tokens(own_postgres.url(), tmp_path / "api.log") as (api, token):
        set_read_only("on")
        assert statuses_of_reads(api, token) == ALL_READ
        assert "Traceback" not in api.log_path.read_text()
        set_read_only("off")
    # A process that starts on a read-only database has connections opened then.
    set_read_only("on")
    with ApiServer(own_postgres.url(), tmp_path / "again.log", {"AUTH": "required"}) as api:
        assert statuses_of_reads(api, token) == ALL_READ


@pytest.mark.req("GATEWAY-08")
def test_a_full_database_is_read_with_tokens_that_were_not_used_today(
    database_url: str, tmp_path: Path
) -> None:
    with (
        requiring_tokens(database_url, tmp_path / "api.log") as (api, token),
        psycopg.connect(database_url, autocommit=True) as database,
    ):
        database.execute(FULL.encode())
        assert statuses_of_reads(api, token) == ALL_READ
        wait_until(
            lambda: "cannot record when tokens were used" in api.log_path.read_text(), what="a warning"
        )
        assert api.log_path.read_text().count("cannot record when tokens were used") == 1


@pytest.mark.req("GATEWAY-08")
def test_no_request_waits_for_recording_a_tokens_use(database_url: str, tmp_path: Path) -> None:
    with (
        requiring_tokens(database_url, tmp_path / "api.log") as (api, token),
        psycopg.connect(database_url) as another,
        psycopg.connect(database_url, autocommit=True) as database,
    ):
        another.execute("SELECT FROM api_tokens FOR UPDATE")
        assert statuses_of_reads(api, token) == ALL_READ
        another.rollback()
        assert statuses_of_reads(api, token) == ALL_READ
        wait_until(lambda: database.execute(USED).fetchone() == (True,), what="the use to be noted")
