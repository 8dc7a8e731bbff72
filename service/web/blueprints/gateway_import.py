"""Many gateways from a CSV file: checked first, then all of them or none."""

from flask import Blueprint, Response, flash, request

from service.api.gateway_import.body import MAX_FILE_BYTES, read_file
from service.api.gateway_import.importer import import_file
from service.api.gateway_import.rows import ImportFile, read_csv
from service.api.gateway_import.text_lines import charset_of, text_lines
from service.api.schemas.gateway_import import ImportResponse
from service.api.server.time_slices import paced
from service.api.services.change_notifier import note_written
from service.errors import ImportTooBigError, InvalidRequestError
from service.web.forms.gateway_import import ImportForm
from service.web.rendering import go_to, render_page

blueprint = Blueprint("gateway_import", __name__, url_prefix="/import")
# Beside the file, what a form has around it.
MAX_FORM_BYTES = MAX_FILE_BYTES + 64 * 1024
EXAMPLE = """\
factory_id,gateway_id,name,url,email,password
01937b1e-7c00-7000-8000-000000000001,CTC-0001,Press section,ws://192.0.2.10:5000,plant@example.com,
"""


@blueprint.route("", methods=["GET", "POST"])
def show() -> Response:
    """A form; after a check, what it found; after an import, the gateways."""
    form, result, refusal = ImportForm(), None, None
    is_import = request.form.get("action") == "import"
    if request.method == "POST":
        note_written(anything=is_import)
        try:
            result = _import(form, is_dry_run=not is_import)
        except InvalidRequestError as error:
            refusal = error
    if result is not None and is_import:
        many = "1 gateway was" if result.created == 1 else f"{result.created:,} gateways were"
        flash(f"{many} imported. Workers connect them now.")
        return go_to("web.gateways.show", sort="-created_at")
    return render_page(
        "gateway_import.html", 400 if refusal else 200, form=form, result=result, refusal=refusal
    )


@blueprint.get("/example.csv")
def example() -> Response:
    """A file to begin with; the password is left to whoever fills it in."""
    response = Response(EXAMPLE, mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="gateways.csv"'
    return response


def _import(form: ImportForm, *, is_dry_run: bool) -> ImportResponse:
    """Raises InvalidRequestError, ImportTooBigError, TooManyImportsError, DatabaseError."""
    body = form.file.data.read() if form.file.data else b""
    if len(body) > MAX_FILE_BYTES:
        raise ImportTooBigError
    charset = charset_of(form.charset.data or "") or "utf-8"

    def read() -> ImportFile:
        return read_file(lambda content: read_csv(paced(text_lines(content, charset, ""))), body)

    return import_file(read, is_dry_run=is_dry_run)
