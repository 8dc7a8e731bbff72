"""Thousands of gateways in one request: all of them, or none and the reasons why."""

from flask import Blueprint, Response

from service.api.gateway_import.body import CSV, KINDS, read_body, read_file, reader
from service.api.gateway_import.importer import import_file
from service.api.openapi.operation import Operation
from service.api.schemas.gateway_import import ImportQuery, ImportResponse
from service.api.web.responses import respond, respond_created
from service.api.web.validation_errors import detail
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
            "Nothing was imported: 1 mistake in 2 rows.",
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
    response = import_file(lambda: read_file(read, body), is_dry_run=is_dry_run)
    return respond(response) if is_dry_run else respond_created(response, "/api/gateways")
