"""From the lines of a CSV or JSON lines file to gateways to be, and what is wrong with the others.

Lines are counted from 1, as editors do; a row of several lines has the number of its first. What was sent
never gets into a mistake: a cell in the wrong column may be a password.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from pydantic import ValidationError
from pydantic_core import from_json

from service.api.json_names import repeated_names
from service.api.requests import MAX_DETAILS, detail, details_of
from service.api.schemas import GatewayCreate
from service.errors import ImportTooBigError

MAX_ROWS = 10_000
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_LINE_BYTES = 256 * 1024
Details = Sequence[dict[str, str]]
COLUMNS = tuple(GatewayCreate.model_fields)
REQUIRED = tuple(name for name, known in GatewayCreate.model_fields.items() if known.is_required())
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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


def read_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream, with their ends. Raises ImportTooBigError."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise ImportTooBigError
        yield line


def without_mark(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines without what spreadsheets write in front of UTF-8."""
    yield next(lines, b"").removeprefix(_BYTE_ORDER_MARK)
    yield from lines


def read_json_lines(lines: Iterable[bytes]) -> ImportFile:
    """A JSON object a line; empty lines are passed over. Raises ImportTooBigError."""
    file = ImportFile()
    for number, line in enumerate(lines, 1):
        if line.strip():
            file.begin_row()
            file.add(number, _validated_json(line))
    return file


def read_csv(lines: Iterable[bytes]) -> ImportFile:
    """RFC 4180, with a header of field names; an empty cell is a field that is not named, `metadata` is JSON.

    Raises ImportTooBigError.
    """
    file = ImportFile()
    # What is no UTF-8 becomes what Pydantic refuses, cell by cell.
    texts = (line.decode("utf-8", "surrogateescape") for line in lines)
    records = _Records(texts, file)
    header = next(records, None)
    if header is None or not _check_header(header.cells, file.mistakes):
        return file
    for record in records:
        file.begin_row()
        if len(record.cells) == len(header.cells):
            file.add(record.line, _validated_cells(header.cells, record.cells))
        else:
            message = f"has {len(record.cells)} cells, and the header {len(header.cells)}"
            file.mistakes.add(record.line, "", message, "csv_cells")
    return file


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    cells: Sequence[str]


class _Records:
    """The records of a CSV file that can be read; the others are mistakes."""

    def __init__(self, lines: Iterable[str], file: ImportFile) -> None:
        self._reader = csv.reader(iter(lines), strict=True)
        self._file = file

    def __iter__(self) -> Iterator[_Record]:
        return self

    def __next__(self) -> _Record:
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except csv.Error:
                self._file.begin_row()
                self._file.mistakes.add(line, "", "is not valid CSV", "csv_invalid")
                continue
            if cells:
                return _Record(line, cells)


def _check_header(cells: Sequence[str], mistakes: Mistakes) -> bool:
    """By position: what should be a name may be a row of a file without a header."""
    known = Counter(cells)
    for position, cell in enumerate(cells, 1):
        if cell not in COLUMNS:
            mistakes.add(
                1, f"column {position}", f"is not one of the columns {', '.join(COLUMNS)}", "csv_header"
            )
    for name in COLUMNS:
        if known[name] > 1:
            mistakes.add(1, name, "must be given once", "repeated")
        elif name in REQUIRED and not known[name]:
            mistakes.add(1, name, "must be given", "missing")
    return mistakes.count == 0


def _validated_json(line: bytes) -> GatewayCreate | Details:
    try:
        values = GatewayCreate.model_validate_json(line)
    except ValidationError as error:
        return details_of(error, "")
    repeated = [detail(name, "must be given once", "repeated") for name in repeated_names(line)]
    return repeated or values


def _validated_cells(names: Sequence[str], cells: Sequence[str]) -> GatewayCreate | Details:
    texts = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
    values: dict[str, object] = {**texts}
    if "metadata" in texts:
        values["metadata"] = _json_or_nothing(texts["metadata"])
    try:
        # All cells are text, ids too.
        gateway = GatewayCreate.model_validate(values, strict=False)
    except ValidationError as error:
        return details_of(error, "")
    if "metadata" in texts and repeated_names(texts["metadata"]):
        return [detail("metadata", "must have each name once", "repeated")]
    return gateway


def _json_or_nothing(text: str) -> object:
    """What is no JSON is no JSON object either, and refused as that."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return None
