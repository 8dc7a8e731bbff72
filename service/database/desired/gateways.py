"""Gateways as they should be: desired state, written by the API."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from service.database.desired import gateway_lists, json_rows
from service.database.desired.gateway_lists import GatewayFilter, GatewaySort, WorkerLiveness
from service.database.desired.json_rows import JsonPage, JsonRow, JsonUpdate
from service.database.desired.values import GatewayChanges, NewGateway
from service.database.engine.paging import PageStart, Total
from service.database.engine.query import Command, Executor, Id, Query, Row, required
from service.database.rows import Gateway
from service.errors import FactoryUnknownError, GatewayNotFoundError


@dataclass(frozen=True, slots=True)
class DeviceId:
    """The text on a device that a gateway is registered for."""

    device_id: str


Check = Callable[[Gateway], bool | None]


_COLUMNS = """
    g.id, g.factory_id, g.device_id, g.name, g.model, g.firmware_version, g.url, g.email, g.desired_state,
    g.connect_requested_at, g.generation, g.metadata, g.created_at, g.updated_at, g.deleted_at, g.version,
    g.deleted_with_factory, g.password_is_confined
"""
_JSON = "g.id, g.version," + json_rows.GATEWAY

# The factory's row is locked against its deletion until the gateway is there to be deleted with it.
_INSERT = """
    INSERT INTO gateways AS g (
        id, factory_id, device_id, name, model, firmware_version, url, email, sealed_password, metadata
    )
    SELECT
        %(id)s, f.id, %(device_id)s, %(name)s, %(model)s, %(firmware_version)s, %(url)s, %(email)s,
        %(sealed_password)s, %(metadata)s
    FROM factories AS f
    WHERE f.id = %(factory_id)s AND f.deleted_at IS NULL
    FOR SHARE
    RETURNING
"""
INSERT = Query(_INSERT + _JSON, JsonRow)

_FIND_BY_ID = " FROM gateways AS g WHERE g.id = %(id)s AND g.deleted_at IS NULL"
FIND_BY_ID = Query("SELECT" + _COLUMNS + _FIND_BY_ID, Gateway, retryable=True)
FIND_JSON_BY_ID = Query("SELECT " + _JSON + _FIND_BY_ID, JsonRow, retryable=True)

# Keeps it as it is for the rest of the transaction, while a condition is held against it.
LOCK_BY_ID = Query("SELECT" + _COLUMNS + _FIND_BY_ID + " FOR NO KEY UPDATE", Gateway)

# A field that the caller does not name keeps its value, whatever that is at this moment. A factory is locked
# against its deletion before the gateway is locked: whoever deletes a factory locks in this order, too.
_UPDATE = """
    WITH new_factory AS (
        SELECT id FROM factories WHERE id = %(factory_id)s::uuid AND deleted_at IS NULL FOR SHARE
    )
    UPDATE gateways AS g SET
        factory_id = coalesce(%(factory_id)s::uuid, factory_id),
        device_id = coalesce(%(device_id)s, device_id),
        name = coalesce(%(name)s, name),
        model = CASE WHEN %(set_model)s THEN %(model)s ELSE model END,
        firmware_version = CASE
            WHEN %(set_firmware_version)s THEN %(firmware_version)s ELSE firmware_version
        END,
        url = coalesce(%(url)s, url),
        email = coalesce(%(email)s, email),
        sealed_password = coalesce(%(sealed_password)s, sealed_password),
        password_is_confined = coalesce(%(password_is_confined)s::boolean, password_is_confined),
        metadata = coalesce(%(metadata)s, metadata)
    WHERE g.id = %(id)s AND g.deleted_at IS NULL
        AND (%(factory_id)s::uuid IS NULL OR EXISTS (SELECT FROM new_factory))
    RETURNING
"""
UPDATE = Query(_UPDATE + _JSON + json_rows.IS_CHANGED, JsonUpdate)

# Locks a live factory against its deletion for the rest of the transaction.
LOCK_FACTORY = Query(
    "SELECT id FROM factories WHERE id = %(factory_id)s AND deleted_at IS NULL FOR SHARE", Id
)

SOFT_DELETE = Command("UPDATE gateways SET deleted_at = now() WHERE id = %(id)s AND deleted_at IS NULL")

# What is connected, as its live worker says, needs no attempt.
WANT_CONNECTED = Command(
    """
    UPDATE gateways AS g SET desired_state = 'connected', connect_requested_at = clock_timestamp()
    WHERE g.id = %(id)s AND g.deleted_at IS NULL
        AND NOT (
            g.desired_state = 'connected'
            AND EXISTS (
                SELECT
                FROM gateway_connections AS c
                JOIN workers AS w ON c.worker_id = w.id
                WHERE c.gateway_id = g.id AND c.state = 'connected' AND worker_is_live(w)
            )
        )
    """
)

WANT_DISCONNECTED = Command(
    """
    UPDATE gateways SET desired_state = 'disconnected'
    WHERE id = %(id)s AND deleted_at IS NULL AND desired_state = 'connected'
    """
)

EVERY_LIVE_ONE = GatewayFilter()


class GatewayRepository:
    """Live gateways only, unless a method says otherwise. Runs on the database or inside a transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def create(self, gateway: NewGateway) -> JsonRow:
        """Creates it, wanted connected. Raises FactoryUnknownError, GatewayIdConflictError."""
        row = self._executor.fetch_one(INSERT, asdict(gateway))
        if row is None:
            raise FactoryUnknownError
        return row

    def find_by_id(self, gateway_id: UUID) -> Gateway:
        """Raises GatewayNotFoundError."""
        return _found(self._executor.fetch_one(FIND_BY_ID, {"id": gateway_id}))

    def find_json(self, gateway_id: UUID) -> JsonRow:
        """As `find_by_id`, with when it was last heard of."""
        return _found(self._executor.fetch_one(FIND_JSON_BY_ID, {"id": gateway_id}))

    def list_json(
        self,
        start: PageStart,
        limit: int,
        which: GatewayFilter = EVERY_LIVE_ONE,
        sort: GatewaySort = "name",
        *,
        has_status: bool = False,
    ) -> JsonPage:
        """At most `limit` (and MOST_ROWS), ordered by `sort` (downwards with a minus), then id; and how many
        there are. With the status of each as of this moment, if that is asked for.
        """
        query = gateway_lists.json_page(sort, which.conditions, start.kind, has_status=has_status)
        parameters = gateway_lists.page_parameters(start, limit, which, self._workers_for(sort, which))
        items = self._executor.fetch_all(query, {**parameters, **json_rows.STATUS_PARAMETERS})
        # An empty page tells nothing of the others.
        total = items[0].total if items else self.count(which)
        is_kept = gateway_lists.total_is_kept(which.conditions)
        return JsonPage.of(items, Total(total) if is_kept else Total.counted(total))

    def count(self, which: GatewayFilter = EVERY_LIVE_ONE) -> int:
        """How many there are: of all live ones, or of those of a factory; else up to MOST_COUNTED and one."""
        query, parameters = (
            gateway_lists.count(which.conditions),
            which.parameters(self._workers_for("name", which)),
        )
        return required(self._executor.fetch_one(query, parameters)).count

    def update(self, gateway_id: UUID, changes: GatewayChanges, check: Check | None = None) -> JsonUpdate:
        """Changes what is named and leaves the rest.

        `check` is shown the row as it is and stays until then, and may raise: that takes a transaction. It
        returns whether the stored password is confined from now on (None: as it was).
        Raises GatewayNotFoundError, FactoryUnknownError, GatewayIdConflictError.
        """
        stays_confined = None if check is None else check(self._lock(gateway_id, changes.factory_id))
        is_confined = stays_confined if changes.sealed_password is None else False
        parameters = {"id": gateway_id, "password_is_confined": is_confined, **asdict(changes)}
        row = self._executor.fetch_one(UPDATE, parameters)
        if row is None:
            self.find_by_id(gateway_id)
            raise FactoryUnknownError
        return row

    def soft_delete(self, gateway_id: UUID, check: Callable[[Gateway], None] | None = None) -> None:
        """Raises GatewayNotFoundError. `check` is as for `update`, and takes a transaction."""
        if check is not None:
            check(self._lock(gateway_id, None))
        if self._executor.execute(SOFT_DELETE, {"id": gateway_id}) == 0:
            raise GatewayNotFoundError

    def want_connected(self, gateway_id: UUID) -> bool:
        """Wants it connected, and an attempt now unless it is; tells whether that changed anything.

        Raises GatewayNotFoundError.
        """
        return self._want(WANT_CONNECTED, gateway_id)

    def want_disconnected(self, gateway_id: UUID) -> bool:
        """Wants it disconnected until told otherwise; tells whether that changed anything.

        Raises GatewayNotFoundError.
        """
        return self._want(WANT_DISCONNECTED, gateway_id)

    def _workers_for(self, sort: GatewaySort, which: GatewayFilter) -> Sequence[WorkerLiveness]:
        if not gateway_lists.needs_workers(sort, which):
            return []
        return self._executor.fetch_all(gateway_lists.FIND_WORKERS, {})

    def _lock(self, gateway_id: UUID, new_factory_id: UUID | None) -> Gateway:
        """Locks the new factory, if there is one, and behind it the gateway: see UPDATE."""
        if new_factory_id is not None:
            self.find_by_id(gateway_id)
            if self._executor.fetch_one(LOCK_FACTORY, {"factory_id": new_factory_id}) is None:
                raise FactoryUnknownError
        return _found(self._executor.fetch_one(LOCK_BY_ID, {"id": gateway_id}))

    def _want(self, command: Command, gateway_id: UUID) -> bool:
        if self._executor.execute(command, {"id": gateway_id}) > 0:
            return True
        self.find_by_id(gateway_id)
        return False


def _found(row: Row | None) -> Row:
    if row is None:
        raise GatewayNotFoundError
    return row
