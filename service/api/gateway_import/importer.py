"""Decides whether a file can be imported, and imports it: all of its gateways, or none and why."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from service.api.gateway_import.rows import ImportFile, ImportRow
from service.api.schemas.gateway_import import ImportedGateway, ImportResponse
from service.api.server.time_slices import paced
from service.api.services.context import services
from service.api.web.validation_errors import detail, invalid
from service.crypto import Secret
from service.database.desired.gateway_import import ImportRepository
from service.database.desired.values import NewGateway
from service.database.engine.deadline import BULK_LIMIT_S, set_deadline
from service.database.engine.ids import new_id
from service.errors import InvalidRequestError, TooManyImportsError


def import_file(read: Callable[[], ImportFile], *, is_dry_run: bool) -> ImportResponse:
    """What was created; of a dry run, that it could be.

    Raises InvalidRequestError with all that is wrong, TooManyImportsError, and what `read` raises.
    """
    with _import_slot():
        file = read()
        if file.count == 0 and file.mistakes.count == 0:
            raise invalid([detail("body", "must contain at least one row", "empty")])
        set_deadline(BULK_LIMIT_S)
        _check(file)
        created = [] if is_dry_run else _create(file)
    return ImportResponse(dry_run=is_dry_run, rows=file.count, created=len(created), data=created)


@contextmanager
def _import_slot() -> Iterator[None]:
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
        listed = len(mistakes.details)
        rest = f"; the first {listed} are listed" if listed < mistakes.count else ""
        found = f"{_plural(mistakes.count, 'mistake')} in {_plural(file.count, 'row')}{rest}"
        raise InvalidRequestError(
            "IMPORT_REFUSED",
            f"Nothing was imported: {found}.",
            mistakes.details,
        )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
