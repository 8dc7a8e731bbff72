"""Thousands of gateways in one request: all of them, or none and the reasons why."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from flask import Blueprint, Response

from service.api.gateway_import.body import CSV, KINDS, read_body, read_file, reader
from service.api.gateway_import.rows import ImportFile, ImportRow
from service.api.openapi.operation import Operation
from service.api.schemas.gateway_import import ImportedGateway, ImportQuery, ImportResponse
from service.api.server.time_slices import paced
from service.api.services.context import services
from service.api.web.responses import respond, respond_created
from service.api.web.validation_errors import detail, invalid
from service.crypto import Secret
from service.database.desired.gateway_import import ImportRepository, NewGateway
from service.database.engine.deadline import BULK_LIMIT_S, set_deadline
from service.database.engine.ids import new_id
from service.errors import ImportTooBigError, InvalidRequestError, TooManyImportsError

blueprint = Blueprint("imports", __name__, url_prefix="/api/gateways")


_CSV_EXAMPLE = """\
factory_id,gateway_id,name,url,email,password
01937b1e-7c00-7000-8000-000000000001,CTC-0001,Press section,ws://192.0.2.10:5000,plant@example.com,secret
"""
_JSON_EXAMPLE = (
    '{"factory_id": "01937b1e-7c00-7000-8000-000000000001", "gateway_id": "CTC-0001",'
    ' "name": "Press section", "url": "ws://192.0.2.10:5000", "email": "plant@example.com",'
    ' "password": "secret"}\n'
)
_BODIES = {
    kind: {
        "schema": {"type": "string"},
        "example": _CSV_EXAMPLE if kind == CSV else _JSON_EXAMPLE,
    }
    for kind in KINDS
}


@blueprint.post("/import")
@Operation(
    "import_gateways",
    "Register up to 10,000 gateways: all of them, or none",
    {200: ImportResponse, 201: ImportResponse},
    error_responses=(
        InvalidRequestError(
            "IMPORT_REFUSED",
            "Nothing was imported: errors: 1, rows: 2, shown: 1.",
            [detail("lines.3.gateway_id", "is taken by another gateway", "conflict")],
        ),
        ImportTooBigError,
        TooManyImportsError,
    ),
    query=ImportQuery,
    body=_BODIES,
    description=(
        "CSV has a header of field names; an empty cell leaves its field out, `metadata` is JSON. "
        "Cells may be separated by commas, semicolons, tabs or vertical bars; the encoding is UTF-8, UTF-16, "
        "or what `charset` names (windows-1252). Empty rows are skipped. "
        "JSON Lines has one object per line, as for a single gateway. `dry_run=true` checks everything and "
        "changes nothing: 200 if all could be registered. Errors name their line: `lines.17.url`."
    ),
)
def import_gateways(query: ImportQuery) -> Response:
    """201 and all gateways of the file, which workers connect from now on; 200 if they could be created."""
    is_dry_run = query.dry_run == "true"
    read = reader()
    body = read_body()
    with _one_of_few():
        file = read_file(read, body)
        if file.count == 0 and file.mistakes.count == 0:
            raise invalid([detail("body", "must contain at least one row", "empty")])
        set_deadline(BULK_LIMIT_S)
        _check(file)
        created = [] if is_dry_run else _create(file)
    response = ImportResponse(dry_run=is_dry_run, rows=file.count, created=len(created), data=created)
    return respond(response) if is_dry_run else respond_created(response, "/api/gateways")


@contextmanager
def _one_of_few() -> Iterator[None]:
    """Bounds the memory that files take. Raises TooManyImportsError."""
    slots = services().import_slots
    if not slots.acquire(blocking=False):
        raise TooManyImportsError
    try:
        yield
    finally:
        slots.release()


def _check(file: ImportFile) -> None:
    """Against itself and the database. Raises InvalidRequestError, with all that is wrong."""
    repository = ImportRepository(services().database)
    _check_within(file)
    _note_unknown(file, repository.find_factories({row.values.factory_id for row in file.rows}))
    _note_taken(file, repository.find_taken(sorted({row.values.gateway_id for row in file.rows})))
    _refuse_mistakes(file)


def _create(file: ImportFile) -> list[ImportedGateway]:
    """All of them, in one transaction. Raises InvalidRequestError if something came between."""
    # Before the transaction: it takes long, and others take turns with it. In time's order, so that
    # neighbours in the file are neighbours in the indexes.
    sealed = [_sealed(row, new_id()) for row in paced(file.rows)]
    in_order = sorted(sealed, key=lambda row: row.device_id)
    with services().database.transaction() as transaction:
        repository = ImportRepository(transaction)
        _note_unknown(file, repository.lock_factories({row.factory_id for row in sealed}))
        _refuse_mistakes(file)
        created = repository.create(in_order)
        _note_taken(file, {row.device_id for row in sealed if row.id not in created})
        _refuse_mistakes(file)
    return [
        ImportedGateway(line=row.line, id=new.id, gateway_id=new.device_id)
        for row, new in paced(zip(file.rows, sealed, strict=True))
    ]


def _sealed(row: ImportRow, row_id: UUID) -> NewGateway:
    values = row.values
    return NewGateway(
        id=row_id,
        factory_id=values.factory_id,
        device_id=values.gateway_id,
        name=values.name,
        model=values.model,
        firmware_version=values.firmware_version,
        url=values.url,
        email=values.email,
        sealed_password=services().sealer.seal(Secret(values.password.get_secret_value()), row_id),
        metadata=json.dumps(values.metadata),
    )


def _check_within(file: ImportFile) -> None:
    first_lines: dict[str, int] = {}
    for row in paced(file.rows):
        first = first_lines.setdefault(row.values.gateway_id, row.line)
        if first != row.line:
            file.mistakes.add(row.line, "gateway_id", f"is also in line {first}", "conflict")


def _note_unknown(file: ImportFile, known: set[UUID]) -> None:
    for row in paced(file.rows):
        if row.values.factory_id not in known:
            file.mistakes.add(row.line, "factory_id", "does not exist", "unknown")


def _note_taken(file: ImportFile, taken: set[str]) -> None:
    for row in paced(file.rows):
        if row.values.gateway_id in taken:
            file.mistakes.add(row.line, "gateway_id", "is taken by another gateway", "conflict")


def _refuse_mistakes(file: ImportFile) -> None:
    """Raises InvalidRequestError if there are any."""
    mistakes = file.mistakes
    if mistakes.count:
        shown = min(mistakes.count, len(mistakes.details))
        raise InvalidRequestError(
            "IMPORT_REFUSED",
            f"Nothing was imported: errors: {mistakes.count}, rows: {file.count}, shown: {shown}.",
            mistakes.details,
        )
