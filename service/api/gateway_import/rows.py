"""From the lines of a CSV or JSON lines file to gateways to be, and what is wrong with the others.

Lines are counted from 1, as editors do; a row of several lines has the number of its first. What was sent
never gets into a mistake: a cell in the wrong column may be a password.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError
from pydantic_core import from_json

from service.api.gateway_import.tables import MAX_CELLS, HeaderError, read_cell, read_header, read_table
from service.api.schemas.gateways import GatewayCreate
from service.api.validation.duplicate_keys import repeated_names
from service.api.web.validation_errors import MAX_DETAILS, detail, details_of
from service.errors import ImportTooBigError

MAX_ROWS = 10_000
Details = Sequence[dict[str, str]]
COLUMNS = tuple(GatewayCreate.model_fields)
REQUIRED = tuple(name for name, known in GatewayCreate.model_fields.items() if known.is_required())


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A gateway to be, and the line that it stands in."""

    line: int
    values: GatewayCreate


@dataclass(slots=True)
class Mistakes:
    """All of them are counted, the first ones kept."""

    details: list[dict[str, str]] = field(default_factory=list)
    count: int = 0

    def add(self, line: int, place: str, message: str, kind: str) -> None:
        """One in this line; `place` is a field, or nothing for all of the line."""
        self.count += 1
        if len(self.details) < MAX_DETAILS:
            self.details.append(detail(f"lines.{line}.{place}".rstrip("."), message, kind))


@dataclass(slots=True)
class ImportFile:
    """What a file holds: how many rows, those that are valid, and the mistakes in the others."""

    count: int = 0
    rows: list[ImportRow] = field(default_factory=list)
    mistakes: Mistakes = field(default_factory=Mistakes)

    def begin_row(self) -> None:
        """Counts one. Raises ImportTooBigError."""
        self.count += 1
        if self.count > MAX_ROWS:
            raise ImportTooBigError

    def add(self, line: int, values: GatewayCreate | Details) -> None:
        """A row, or what is wrong with it."""
        if isinstance(values, GatewayCreate):
            self.rows.append(ImportRow(line, values))
            return
        for mistake in values:
            self.mistakes.add(line, mistake["field"], mistake["message"], mistake["type"])


def read_json_lines(lines: Iterable[str]) -> ImportFile:
    """A JSON object a line; empty lines are passed over. Raises ImportTooBigError."""
    file = ImportFile()
    for number, line in enumerate(lines, 1):
        if line.strip():
            file.begin_row()
            file.add(number, _validated_json(line))
    return file


def read_csv(lines: Iterable[str]) -> ImportFile:
    """A table with a header of field names; an empty cell is a field that is not named, `metadata` is JSON.

    Raises ImportTooBigError.
    """
    file = ImportFile()
    table = read_table(iter(lines), COLUMNS)
    if table is None:
        return file
    try:
        header = read_header(table.header, COLUMNS, REQUIRED)
    except HeaderError as error:
        for place, message, kind in error.mistakes:
            file.mistakes.add(table.header_line, place, message, kind)
        return file
    for line, cells in table.rows:
        file.begin_row()
        if cells is None:
            file.mistakes.add(line, "", "is not valid CSV", "csv_invalid")
        elif not len(header) <= len(cells) <= MAX_CELLS or any(map(str.strip, cells[len(header) :])):
            message = f"has {len(cells)} cells, but the header has {len(header)}"
            file.mistakes.add(line, "", message, "csv_cells")
        else:
            file.add(line, _validated_cells(header, cells))
    return file


def _validated_json(line: str) -> GatewayCreate | Details:
    try:
        values = GatewayCreate.model_validate_json(line)
    except ValidationError as error:
        return details_of(error, "")
    repeated = [detail(name, "must appear once", "repeated") for name in repeated_names(line)]
    return repeated or values


def _validated_cells(names: Sequence[str], cells: Sequence[str]) -> GatewayCreate | Details:
    read = {name: read_cell(name, cell) for name, cell in zip(names, cells, strict=False)}
    texts = {name: cell for name, cell in read.items() if cell}
    values: dict[str, object] = {**texts}
    if "metadata" in texts:
        values["metadata"] = _json_or_nothing(texts["metadata"])
    try:
        # All cells are text, ids too.
        gateway = GatewayCreate.model_validate(values, strict=False)
    except ValidationError as error:
        return details_of(error, "")
    if "metadata" in texts and repeated_names(texts["metadata"]):
        return [detail("metadata", "must contain each name once", "repeated")]
    return gateway


def _json_or_nothing(text: str) -> object:
    """What is no JSON is no JSON object either, and refused as that."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return None
