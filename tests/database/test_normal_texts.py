"""Rows from before texts had one normal form are normalized, and none is lost."""

import psycopg
import pytest

from devstack.postgres.migrated import migrate
from service.api.validation.texts import normal_text
from tests.support.migrations import MIGRATIONS, migrate_down

FIRST = "20261125000301"
# All characters that the normal form strips from a text.
STRAYS = "".join(
    chr(code)
    for code in range(1, 0x10000)
    if not 0xD800 <= code <= 0xDFFF and normal_text(f"a{chr(code)}", 9) == "a"
)
GATEWAY = """
    INSERT INTO gateways (factory_id, gateway_id, name, model, url, email, sealed_password, deleted_at)
    SELECT id, %s, %s, %s, 'ws://h', 'a@b', repeat('x', 40)::bytea, %s::timestamptz FROM factories LIMIT 1
"""


def take_back(database_url: str) -> None:
    """Take the schema back to before the migration."""
    for path in MIGRATIONS.glob("*.sql"):
        if path.name >= FIRST:
            migrate_down(database_url)


@pytest.mark.req("DB-02")
def test_older_texts_are_normalized(database_url: str) -> None:
    take_back(database_url)
    assert 80 < len(STRAYS) < 150
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO factories (name, location) VALUES (%s, %s)",
            [f" Mu\u0308hle{STRAYS[:150]}", "\u0958" * 500],
        )
        for gateway_id, name, model, deleted_at in (
            ("CTC-1", f"{STRAYS[:60]}e\u0301 \u0301{STRAYS[60:190]}", " ", None),
            ("CTC-1 ", "conflicts with a live one", None, None),
            ("CTC-1\n", "deleted", "M\xa0", "2026-01-01"),
            ("\ufeffCTC-2", "the only one", None, None),
            (" CTC-2", "deleted", None, "2026-01-01"),
            ("CTC-3 ", "conflicts with the next", None, None),
            ("CTC-3\t", "conflicts with the one before", None, None),
            ("C\u00adTC\xa0\u200b4", "hidden", None, None),
            ("\u200b", "would become empty", None, None),
        ):
            connection.execute(GATEWAY, [gateway_id, name, model, deleted_at])
        generations = "SELECT id, generation, desired_state, sealed_password FROM gateways ORDER BY id"
        before = connection.execute(generations).fetchall()
        migrate(database_url)
        assert connection.execute(generations).fetchall() == before, "no session is touched"
        assert connection.execute("SELECT name, location FROM factories").fetchall() == [
            ("M\u00fchle", "\u0958" * 500)
        ]
        rows = connection.execute("SELECT device_id, name, model FROM gateways ORDER BY id").fetchall()
    assert rows == [
        ("CTC-1", "\u00e9 \u0301", " "),
        ("CTC-1 ", "conflicts with a live one", None),
        ("CTC-1", "deleted", "M"),
        ("CTC-2", "the only one", None),
        ("CTC-2", "deleted", None),
        ("CTC-3 ", "conflicts with the next", None),
        ("CTC-3\t", "conflicts with the one before", None),
        ("CTC 4", "hidden", None),
        ("\u200b", "would become empty", None),
    ]
