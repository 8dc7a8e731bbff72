"""Tables as spreadsheets write them: CSV with whatever separates its cells. Pure.

Which separator it is shows in the header, whose names are known: none of them has a separator in it.
"""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Excel's way of saying which one it is, in a line before the header; it may fill that up with separators.
_DECLARED = re.compile(r'"?sep=([^\w\s"]|\t)\1*"?', re.IGNORECASE)
_SEPARATORS = (",", ";", "\t", "|")
_BETWEEN_WORDS = re.compile(r"[\s_-]+")
_NOTHING = re.compile(r'[\s",;|]*')
# As many as spreadsheets have columns: beyond that a row is not looked at cell by cell.
MAX_CELLS = 16_384
# In which the header shows its separator.
_HEADER_START = 4096
# How a spreadsheet keeps a text that looks like a number from becoming one.
_FORMULA = re.compile(r'="((?:[^"]|"")*)"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Table:
    """A header with its line, and the rows after it that are not empty: the line of each, and its cells.

    A row that is not valid has no cells.
    """

    header_line: int
    header: Sequence[str]
    rows: Iterator[tuple[int, Sequence[str] | None]]


class HeaderError(Exception):
    """A header that is none; `mistakes` have a place, a message and a kind each."""

    def __init__(self, mistakes: Sequence[tuple[str, str, str]]) -> None:
        super().__init__("the header has mistakes")
        self.mistakes = mistakes


def read_table(lines: Iterator[str], columns: Sequence[str]) -> Table | None:
    """The table, whose header may have these columns; None if there is nothing but empty lines."""
    declared = None
    for number, line in enumerate(lines, 1):
        if match := _DECLARED.fullmatch(line.rstrip("\r\n")):
            declared = match[1]
        elif not _NOTHING.fullmatch(line):
            separator = declared or _separator_of(line, columns)
            rows = _rows(itertools.chain([line], lines), separator, number)
            header = next(rows, None)
            return None if header is None else Table(header[0], header[1] or (), rows)
    return None


def read_header(cells: Sequence[str], columns: Sequence[str], required: Sequence[str]) -> list[str]:
    """The columns by name. Raises HeaderError.

    Mistakes are told by position: what should be a name may be a row of a file without a header.
    """
    if len(cells) > MAX_CELLS:
        raise HeaderError([("", f"must have at most {MAX_CELLS} cells", "csv_header")])
    names = [_name_in(cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) < 2 and not {*names} & {*columns}:
        message = "must name the columns, separated by commas, semicolons, tabs or vertical bars"
        raise HeaderError([("", message, "csv_header")])
    message = f"is not one of the columns {', '.join(columns)}"
    unknown = [place for place, name in enumerate(names, 1) if name not in columns]
    mistakes = [(f"column {place}", message, "csv_header") for place in unknown]
    counts = Counter(names)
    mistakes += [(name, "must appear once", "repeated") for name in columns if counts[name] > 1]
    mistakes += [(name, "is required", "missing") for name in required if not counts[name]]
    if mistakes:
        raise HeaderError(mistakes)
    return names


def read_cell(name: str, cell: str) -> str:
    """What is meant by a cell of this column. Only a password is taken as it is."""
    if name == "password":
        return cell
    text = cell.strip()
    formula = _FORMULA.fullmatch(text)
    return formula[1].replace('""', '"') if formula else text


def _rows(
    lines: Iterator[str], separator: str, first_line: int
) -> Iterator[tuple[int, Sequence[str] | None]]:
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        line = first_line + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield line, None
            continue
        if len(cells) > MAX_CELLS or any(map(str.strip, cells)):
            yield line, cells


def _separator_of(header: str, columns: Sequence[str]) -> str:
    """The one by which most names are found; a comma if none is."""

    def found(separator: str) -> int:
        try:
            cells = next(csv.reader([header[:_HEADER_START]], delimiter=separator))
        except csv.Error:
            return 0
        return sum(_name_in(cell) in columns for cell in cells)

    return max(_SEPARATORS, key=found)


def _name_in(cell: str) -> str:
    """A name as people write it: `Gateway ID` for gateway_id."""
    return _BETWEEN_WORDS.sub("_", cell.strip().lower())
