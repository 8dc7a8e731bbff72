"""Files of gateways, their import, and its errors."""

import csv
import io
from typing import Any

import psycopg

from tests.support.api_server import ApiServer, Reply, gateway_body

PATH = "/api/gateways/import"


CSV = "text/csv"


JSON_LINES = "application/x-ndjson"


PASSWORD = "correct horse"


def rows(factory_id: str, count: int, first: int = 1) -> list[dict[str, Any]]:
    """Valid rows."""
    return [
        gateway_body(factory_id, f"CTC-{number:05}", name=f"Gateway {number}")
        for number in range(first, first + count)
    ]


def as_csv(given: list[dict[str, Any]], names: list[str] | None = None) -> bytes:
    """Return a CSV file in a spreadsheet's format."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names or list(given[0]), restval="")
    writer.writeheader()
    writer.writerows(given)
    return text.getvalue().encode()


def send(api: ApiServer, body: bytes, kind: str = JSON_LINES, query: str = "") -> Reply:
    """The file."""
    return api.call("POST", PATH + query, body=body, headers={"Content-Type": kind})


def refusals(reply: Reply) -> list[tuple[str, str]]:
    """Return fields and kinds of the errors."""
    assert (reply.status, reply.error["code"]) == (400, "IMPORT_REFUSED"), reply.body
    assert PASSWORD.encode() not in reply.body
    return [(detail["field"], detail["type"]) for detail in reply.error["details"]]


def count(database: psycopg.Connection) -> int:
    """Count the gateways."""
    row = database.execute("SELECT count(*) FROM gateways").fetchone()
    assert row is not None
    return int(row[0])
