"""Many gateways at once: which of them can not be there, and all of them in a few statements."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar
from uuid import UUID

from service.database.desired.gateways import DeviceId
from service.database.desired.values import NewGateway
from service.database.engine.query import Executor, Id, Query

Item = TypeVar("Item")

BATCH_ROWS = 1000
BATCH_CHARACTERS = 256 * 1024


FIND_FACTORIES = Query(
    "SELECT id FROM factories WHERE id = ANY(%(ids)s::uuid[]) AND deleted_at IS NULL", Id, retryable=True
)

# Against their deletion, until the gateways are there to be deleted with them; always in the same order.
LOCK_FACTORIES = Query(
    """
    SELECT id FROM factories
    WHERE id = ANY(%(ids)s::uuid[]) AND deleted_at IS NULL
    ORDER BY id
    FOR SHARE
    """,
    Id,
)

FIND_TAKEN = Query(
    "SELECT device_id FROM gateways WHERE device_id = ANY(%(device_ids)s::text[]) AND deleted_at IS NULL",
    DeviceId,
    retryable=True,
)

# Tells which were inserted: the others' device_ids are taken.
INSERT_MANY = Query(
    """
    INSERT INTO gateways (
        id, factory_id, device_id, name, model, firmware_version, url, email, sealed_password, metadata
    )
    SELECT
        id, factory_id, device_id, name, model, firmware_version, url, email, sealed_password,
        metadata::jsonb
    FROM unnest(
        %(ids)s::uuid[], %(factory_ids)s::uuid[], %(device_ids)s::text[], %(names)s::text[],
        %(models)s::text[], %(firmware_versions)s::text[], %(urls)s::text[], %(emails)s::text[],
        %(sealed_passwords)s::bytea[], %(metadatas)s::text[]
    ) WITH ORDINALITY AS r (
        id, factory_id, device_id, name, model, firmware_version, url, email, sealed_password, metadata,
        position
    )
    ORDER BY position
    ON CONFLICT (device_id) WHERE deleted_at IS NULL DO NOTHING
    RETURNING id
    """,
    Id,
)


class ImportRepository:
    """Runs on the database to ask, and inside a transaction to write."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def find_factories(self, ids: Iterable[UUID]) -> set[UUID]:
        """Which of these factories are there."""
        return {row.id for row in self._executor.fetch_all(FIND_FACTORIES, {"ids": list(ids)})}

    def lock_factories(self, ids: Iterable[UUID]) -> set[UUID]:
        """Which of these factories are there, and will be to the end of the transaction."""
        return {row.id for row in self._executor.fetch_all(LOCK_FACTORIES, {"ids": list(ids)})}

    def find_taken(self, device_ids: Sequence[str]) -> set[str]:
        """Which of these device's names live gateways have."""
        return {
            row.device_id
            for batch in batches(device_ids, len)
            for row in self._executor.fetch_all(FIND_TAKEN, {"device_ids": batch})
        }

    def create(self, gateways: Sequence[NewGateway]) -> set[UUID]:
        """Creates those whose device_id is free, wanted connected; tells which.

        Their factories are locked. Gateways come in the order of their device_ids: two that want the same
        ones then wait for each other, rather than each for the other.
        """
        return {
            row.id
            for batch in batches(gateways, lambda gateway: gateway.characters)
            for row in self._executor.fetch_all(INSERT_MANY, _columns(batch))
        }


def batches(items: Iterable[Item], characters: Callable[[Item], int]) -> Iterator[Sequence[Item]]:
    """As many at once as one statement takes well within its time limit.

    Sending them takes the process for itself: so BATCH_CHARACTERS at most, or a single item of more.
    """
    batch: list[Item] = []
    total = 0
    for item in items:
        size = characters(item)
        if batch and (len(batch) == BATCH_ROWS or total + size > BATCH_CHARACTERS):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch


def _columns(batch: Sequence[NewGateway]) -> dict[str, object]:
    return {
        "ids": [row.id for row in batch],
        "factory_ids": [row.factory_id for row in batch],
        "device_ids": [row.device_id for row in batch],
        "names": [row.name for row in batch],
        "models": [row.model for row in batch],
        "firmware_versions": [row.firmware_version for row in batch],
        "urls": [row.url for row in batch],
        "emails": [row.email for row in batch],
        "sealed_passwords": [row.sealed_password for row in batch],
        "metadatas": [row.metadata for row in batch],
    }
