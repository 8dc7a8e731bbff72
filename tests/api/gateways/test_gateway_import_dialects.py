"""Files as spreadsheets and shells around the world write them."""

import codecs
import json
from contextlib import suppress

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.api.gateway_import.rows import COLUMNS, ImportFile, read_csv, read_json_lines
from service.api.gateway_import.text_lines import UnreadableTextError, text_lines
from service.errors import ImportTooBigError
from tests.support.api.import_files import CSV, JSON_LINES, PASSWORD, as_csv, count, refusals, rows, send
from tests.support.api_server import ApiServer, Reply, gateway_body

NAMES = ("factory_id", "gateway_id", "name", "url", "email", "password")


def table(factory_id: str, *lines: str, separator: str = ",", end: str = "\r\n") -> str:
    """Return a file with a valid header; a line is a gateway_id and a name, or raw text."""
    filled = [
        line if separator in line or not line else row_of(factory_id, line, separator=separator)
        for line in lines
    ]
    return end.join([separator.join(NAMES), *filled, ""])


def row_of(factory_id: str, gateway_id: str, name: str = "Préssé", separator: str = ",") -> str:
    """A row."""
    return separator.join([factory_id, gateway_id, name, "ws://192.0.2.7:5000", "a@b.example", PASSWORD])


def imported(reply: Reply) -> list[tuple[int, str]]:
    """Return lines and ids of the imported gateways."""
    assert reply.status == 201, reply.body
    return [(row["line"], row["gateway_id"]) for row in reply.json["data"]]


def only_mistake(reply: Reply) -> tuple[str, str, str]:
    """Return the only error's field, kind and message."""
    assert len(refusals(reply)) == 1, reply.body
    [told] = reply.error["details"]
    return told["field"], told["type"], told["message"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends_are_recognized(api: ApiServer, separator: str, end: str) -> None:
    factory_id = api.factory()["id"]
    rest = row_of(factory_id, "CTC-2", f'"Hall ""B""{separator} {end}north"', separator)
    text = table(factory_id, "CTC-1", "", rest, "CTC-3", separator=separator, end=end)
    assert imported(send(api, text.encode(), CSV)) == [(2, "CTC-1"), (4, "CTC-2"), (6, "CTC-3")]
    names = [row["name"] for row in api.call("GET", "/api/gateways?sort=created_at").json["data"]]
    assert f'Hall "B"{separator} {end}north' in names
    wrong = table(
        factory_id,
        row_of(factory_id, "CTC-4", f'"a{end}b"', separator),
        "",
        row_of(factory_id, " ", "x", separator),
        separator=separator,
        end=end,
    )
    assert refusals(send(api, wrong.encode(), CSV)) == [("lines.5.gateway_id", "missing")]


def test_a_file_may_declare_its_separator(api: ApiServer) -> None:
    factory_id = api.factory()["id"]
    for number, (first, separator) in enumerate(
        [
            ("sep=;", ";"),
            ("SEP=,", ","),
            ('"sep=;"', ";"),
            ("sep=\t", "\t"),
            ("sep=;;;;;;", ";"),
            ("sep=^", "^"),
        ]
    ):
        text = f"{first}\r\n" + table(factory_id, f"CTC-{number}", separator=separator)
        assert imported(send(api, text.encode(), CSV)) == [(3, f"CTC-{number}")], first


@pytest.mark.parametrize(
    ("encoding", "mark", "charset"),
    [
        ("utf-8", codecs.BOM_UTF8, None),
        ("utf-16-le", codecs.BOM_UTF16_LE, None),
        ("utf-16-be", codecs.BOM_UTF16_BE, None),
        ("utf-16-le", b"", None),
        ("utf-16-be", b"", "utf-16"),
        ("utf-16-le", codecs.BOM_UTF16_LE, "utf-8"),
        ("utf-8", b"", "utf8"),
        ("utf-8", b"", '"UTF-8"'),
        ("cp1252", b"", "windows-1252"),
        ("cp1252", b"", "cp1252"),
        ("latin-1", b"", "iso-8859-1"),
        ("cp1250", b"", "Windows-1250"),
        ("iso8859-15", b"", "ISO-8859-15"),
    ],
)
def test_encodings_are_recognized_or_declared(
    api: ApiServer, encoding: str, mark: bytes, charset: str | None
) -> None:
    factory_id = api.factory()["id"]
    text = table(factory_id, "CTC-é1", "", "CTC-é2", separator="\t")
    kind = CSV if charset is None else f"{CSV}; charset={charset}"
    assert imported(send(api, mark + text.encode(encoding), kind)) == [(2, "CTC-é1"), (4, "CTC-é2")]


def test_an_undeclared_encoding_is_one_error(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    text = table(factory_id, *(f"CTC-{number}" for number in range(50)), separator=";")
    field, kind, message = only_mistake(send(api, text.encode("cp1252"), CSV))
    assert (field, kind) == ("lines.2", "encoding")
    assert "UTF-8" in message
    assert "charset=windows-1252" in message
    late = table(factory_id, row_of(factory_id, "CTC-1", "plain"), "").encode() + b"\r\n\xff\r\n"
    assert only_mistake(send(api, late, CSV))[:2] == ("lines.5", "encoding")
    whole = codecs.BOM_UTF16_LE + text.encode("utf-16-le")
    for cut, place in ((whole[:-1], "lines.51"), (whole[:252] + b"\x00\xd8" + whole[252:], "lines.2")):
        field, kind, message = only_mistake(send(api, cut, CSV))
        assert (field, kind, "UTF-16" in message) == (place, "encoding", True)
    undefined = table(factory_id, "CTC-1").encode("cp1252").replace(b"\xe9", b"\x81")
    assert "Windows-1252" in only_mistake(send(api, undefined, f"{CSV}; charset=cp1252"))[2]
    for workbook in (b"PK\x03\x04\x14\x00\x06\x00", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        assert "workbook" in only_mistake(send(api, workbook + bytes(2000), CSV))[2]
    for charset in ("utf-7", "utf-32", "ebcdic", "idna", "", "x" * 100, "iso-8859-99"):
        assert send(api, text.encode(), f"{CSV}; charset={charset}").status == (201 if not charset else 415)
        database.execute("DELETE FROM gateways")


def test_an_unknown_separator_is_one_error(api: ApiServer) -> None:
    factory_id = api.factory()["id"]
    for separator in (":", " ", "^", "\x1f"):
        text = table(factory_id, *(f"CTC-{number}" for number in range(5)), separator=separator)
        field, kind, message = only_mistake(send(api, text.encode(), CSV))
        assert (field, kind) == ("lines.1", "csv_header")
        assert "semicolon" in message


def test_rows_of_empty_cells_are_skipped(api: ApiServer) -> None:
    factory_id = api.factory()["id"]
    for separator, first in ((",", "A"), (";", "B"), ("\t", "C")):
        empty = separator * 5
        text = "\r\n".join(
            [
                empty, separator.join(NAMES), empty, row_of(factory_id, f"{first}-1", separator=separator),
                empty, separator * 9, "", separator, separator.join(['""'] * 6),
                separator.join([" ", "\xa0", *[""] * 4]), " ",
                row_of(factory_id, f"{first}-2", separator=separator), *[empty] * 100,
            ]
        )  # fmt: skip
        reply = send(api, text.encode(), CSV)
        assert imported(reply) == [(4, f"{first}-1"), (12, f"{first}-2")]
        assert reply.json["rows"] == 2
    nothing = "\r\n".join([",".join(NAMES), *[",,,,,"] * 20])
    assert send(api, nothing.encode(), CSV).fields == ["body"]
    assert send(api, b";;;\r\n;;;\r\n", CSV).fields == ["body"]


def test_trailing_empty_columns_are_skipped(api: ApiServer) -> None:
    factory_id = api.factory()["id"]
    header, first = ",".join(NAMES), row_of(factory_id, "CTC-1")
    text = f"{header},,\n{first},,\n{row_of(factory_id, 'CTC-2')}\n{row_of(factory_id, 'CTC-3')},,, ,\n"
    assert [line for line, _ in imported(send(api, text.encode(), CSV))] == [2, 3, 4]
    more = (
        f"{header}\n{row_of(factory_id, 'CTC-4')},x\n{row_of(factory_id, 'CTC-5')},,x\n{factory_id},CTC-6\n"
    )
    wrong = refusals(send(api, more.encode(), CSV))
    assert wrong == [("lines.2", "csv_cells"), ("lines.3", "csv_cells"), ("lines.4", "csv_cells")]


def test_header_names_are_normalized(api: ApiServer) -> None:
    factory_id = api.factory()["id"]
    header = 'Factory ID , GATEWAY_ID,"Name",\xa0url,E-Mail,Password,Firmware-Version'
    text = f"{header}\n{row_of(factory_id, 'CTC-1')},1.2\n"
    refused = refusals(send(api, text.encode(), CSV))
    assert refused == [("lines.1.column 5", "csv_header"), ("lines.1.email", "missing")]
    text = text.replace("E-Mail", "Email")
    assert imported(send(api, text.encode(), CSV)) == [(2, "CTC-1")]
    assert api.call("GET", "/api/gateways").json["data"][0]["firmware_version"] == "1.2"
    twice = text.replace("Firmware-Version", "NAME")
    assert refusals(send(api, twice.encode(), CSV)) == [("lines.1.name", "repeated")]


def test_spreadsheet_cells_are_normalized(api: ApiServer, database: psycopg.Connection) -> None:
    factory_id = api.factory()["id"]
    header = ",".join([*NAMES, "model", "metadata"])
    cells = [
        f"\xa0{factory_id.upper()} ", '="0001"', ' " Hall ', " WS://Host\t",
        "a@b.example\xa0", ' ="x" ', '"=""7"""', '" {""a"": 1} "',
    ]  # fmt: skip
    assert imported(send(api, f"{header}\n{','.join(cells)}\n".encode(), CSV)) == [(2, "0001")]
    [gateway] = api.call("GET", "/api/gateways").json["data"]
    assert (gateway["name"], gateway["url"], gateway["email"]) == ('" Hall', "ws://host", "a@b.example")
    assert (gateway["model"], gateway["metadata"]) == ("7", {"a": 1})
    again = send(api, f"{header}\n{','.join(cells)}\n".encode().replace(b"0001", b" 0001\xe2\x80\x8b"), CSV)
    assert refusals(again) == [("lines.2.gateway_id", "conflict")]
    same = "\n".join([",".join(NAMES), row_of(factory_id, "e\u0301"), row_of(factory_id, " \u00e9 ")])
    assert refusals(send(api, same.encode(), CSV)) == [("lines.3.gateway_id", "conflict")]
    assert count(database) == 1


def test_a_password_is_taken_unchanged(api: ApiServer, database: psycopg.Connection) -> None:
    """The sealed value is 38 bytes longer than the password."""
    factory_id = api.factory()["id"]
    for number, password in enumerate([" a ", '="b"', "\xa0", "e\u0301", "\u200b"]):
        row = gateway_body(factory_id, f"CTC-{number}", password=password)
        assert send(api, as_csv([row]), CSV).status == 201
        sealed = database.execute(
            "SELECT octet_length(sealed_password) FROM gateways WHERE device_id = %s", [f"CTC-{number}"]
        ).fetchone()
        assert sealed == (37 + len(password.encode()),)


@pytest.mark.parametrize(
    "kind",
    ["text/tab-separated-values", "application/csv", "application/vnd.ms-excel", "TEXT/CSV; header=present"],
)
def test_csv_has_several_media_types(api: ApiServer, kind: str) -> None:
    factory_id = api.factory()["id"]
    assert send(api, table(factory_id, "CTC-1", separator="\t").encode(), kind).status == 201
    refused = send(api, b"x", "application/octet-stream")
    assert (refused.status, "text/csv" in refused.headers["Accept"]) == (415, True)


def test_lines_of_json_have_the_encodings_that_shells_write(api: ApiServer) -> None:
    factory_id = api.factory()["id"]
    for number, (mark, encoding) in enumerate(
        [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")]
    ):
        body = [{**row, "gateway_id": f"é{number}-{n}"} for n, row in enumerate(rows(factory_id, 2))]
        text = "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in body)
        for kind in ("application/ndjson", "application/jsonl; charset=latin-1"):
            checked = send(api, mark + text.encode(encoding), kind, "?dry_run=true")
            assert (checked.status, checked.json["rows"]) == (200, 2), checked.body
    broken = json.dumps(rows(factory_id, 1)[0]).encode() + b'\n{"name": "Pr\xe9ss"}\n'
    assert only_mistake(send(api, broken, JSON_LINES))[:2] == ("lines.2", "encoding")


HEADER = ",".join(NAMES)
PIECES = [
    ",", ";", "\t", "|", "^", '"', '""', "\n", "\r", "\r\n", " ", "\0", "\x1f", "\xa0", "\u2028", "\ufeff",
    "=", '="1"', "{", "}", "[1]", "sep=;", "sep=^", "a", "e\u0301", "\ud800", *COLUMNS, HEADER,
    HEADER.replace(",", ";"),
]  # fmt: skip


@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]),
    st.integers(0, 3),
    st.sampled_from(["utf-8", "utf-16-le", "cp1252", "iso8859_15"]),
)
@example("sep=^\n^^^\n", "utf-8", 0, "utf-8")
@example("sep=^\n^^^\n" + HEADER.replace(",", "^"), "utf-8", 0, "utf-8")
@example("a" * 200_000, "utf-8", 0, "utf-8")
@example(HEADER + "\n" + "a" * 200_000, "utf-8", 0, "utf-8")
@example('"' * 150_001, "utf-8", 0, "utf-8")
@example(HEADER + "," * 200_000, "utf-8", 0, "utf-8")
@example("\x00", "utf-8", 0, "utf-8")
def test_any_bytes_are_a_file_or_have_errors(text: str, encoding: str, cut: int, declared: str) -> None:
    body = text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")
    body = body[: len(body) - cut]
    for read, line_end in ((read_csv, ""), (read_json_lines, "\n")):
        file = ImportFile()
        with suppress(UnreadableTextError, ImportTooBigError):
            file = read(text_lines(body, declared, line_end))
        lines = body.count(b"\n") + body.count(b"\r") + 1
        for told in file.mistakes.details:
            assert 1 <= int(told["field"].split(".")[1]) <= lines


def test_a_header_may_follow_rows_of_empty_cells(api: ApiServer) -> None:
    factory_id = api.factory()["id"]
    text = "sep=^\n^^^\n\n" + table(factory_id, "CTC-1", separator="^")
    assert imported(send(api, text.encode(), CSV)) == [(5, "CTC-1")]
    wrong = "sep=^\n^^^\n\n" + HEADER.replace(",", "^").replace("email", "e-mail")
    assert refusals(send(api, wrong.encode(), CSV)) == [
        ("lines.4.column 5", "csv_header"),
        ("lines.4.email", "missing"),
    ]
