"""A database for a test: writes gateways and reads statuses as the API does."""

from collections.abc import Iterable
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

from service.crypto import Sealer, Secret
from service.database.desired.factories import FactoryRepository
from service.database.desired.gateways import GatewayRepository
from service.database.desired.values import GatewayChanges, NewFactory, NewGateway
from service.database.engine.ids import new_id
from service.database.engine.pool import Database
from service.database.views.statuses import GatewayStatus, StatusRepository
from tests.support.waiting import wait_until
from tests.support.worker_settings import EMAIL, KEY, PASSWORD, worker_config


class WorkerTestBed:
    """One factory in a database. For one thread."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self.database = Database(worker_config(database_url).database, "tests")
        self.sealer = Sealer(Secret(KEY))
        self._gateways = GatewayRepository(self.database)
        self._statuses = StatusRepository(self.database)

    def __enter__(self) -> Self:
        self.database.open()
        self.factory_id = FactoryRepository(self.database).create(NewFactory("Mill")).id
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def add(self, gateway_id: str, url: str, password: str = PASSWORD, email: str = EMAIL) -> UUID:
        """Create a gateway with desired state connected."""
        return self.add_all([(gateway_id, url)], password, email)[0]

    def add_all(
        self, gateways: Iterable[tuple[str, str]], password: str = PASSWORD, email: str = EMAIL
    ) -> list[UUID]:
        """Create gateways, given as identifiers with URLs, in one transaction."""
        added = []
        with self.database.transaction() as transaction:
            repository = GatewayRepository(transaction)
            for gateway_id, url in gateways:
                row_id = new_id()
                sealed = self.sealer.seal(Secret(password), row_id)
                repository.create(
                    NewGateway(row_id, self.factory_id, gateway_id, gateway_id, url, email, sealed)
                )
                added.append(row_id)
        return added

    def change(self, row_id: UUID, password: str | None = None, **changes: Any) -> None:
        """Change a gateway, as PATCH does; the changes are fields of GatewayChanges."""
        sealed = None if password is None else self.sealer.seal(Secret(password), row_id)
        with self.database.transaction() as transaction:
            repository = GatewayRepository(transaction)
            repository.update(row_id, GatewayChanges(sealed_password=sealed, **changes))

    def delete(self, row_id: UUID) -> None:
        """Delete a gateway, as DELETE does."""
        self._gateways.soft_delete(row_id)

    def connect(self, row_id: UUID) -> None:
        """Connect a gateway, as POST …/connect does."""
        self._gateways.want_connected(row_id)

    def disconnect(self, row_id: UUID) -> None:
        """Disconnect a gateway, as POST …/disconnect does."""
        self._gateways.want_disconnected(row_id)

    def status(self, row_id: UUID) -> GatewayStatus:
        """Return a gateway's status, as GET …/status does."""
        return self._statuses.find_by_id(row_id)

    def wait_for_state(self, row_id: UUID, state: str, timeout_s: float = 8.0) -> GatewayStatus:
        """Wait until the status shows that state; return it."""
        seen: list[GatewayStatus] = []

        def shown() -> bool:
            seen[:] = [self.status(row_id)]
            return seen[0].state == state

        wait_until(shown, timeout_s, f"the status {state}")
        return seen[0]

    def rows(self, statement: str, *parameters: object) -> list[Any]:
        """Return the rows of a statement."""
        with psycopg.connect(self.database_url, autocommit=True, row_factory=namedtuple_row) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return [] if cursor.description is None else cursor.fetchall()

    def events(self, row_id: UUID) -> list[Any]:
        """Return a gateway's history, oldest first."""
        return self.rows("SELECT * FROM gateway_events WHERE gateway_id = %s ORDER BY id", row_id)

    def is_free(self, row_id: UUID) -> bool:
        """Whether no worker holds the gateway."""
        held = "SELECT FROM gateway_connections WHERE gateway_id = %s AND worker_id IS NOT NULL"
        return not self.rows(held, row_id)
