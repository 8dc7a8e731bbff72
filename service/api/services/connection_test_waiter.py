"""Wait for the result of a connection test, without holding a database connection meanwhile.

The number of waiting requests is bounded where tests are created: by the workers' capacity.
"""

import logging
import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

from service.api.schemas.connection_tests import TrialResponse, TrialResult
from service.database.desired.connection_tests import ConnectionTestRepository, Progress
from service.database.engine.deadline import REQUEST_LIMIT_S, set_deadline
from service.database.engine.pool import Database
from service.database.engine.query import Executor
from service.errors import ConnectionTestLostError, DatabaseError, MillgateError, NoWorkerError

log = logging.getLogger("millgate.api")

_LOOK_EVERY_S = 0.075
# How long after its time a result may still come: it has to be written and seen.
_GRACE_S = 1.5


@dataclass(frozen=True, slots=True)
class ConnectionTestWaiter:
    """Of one process; made before the fork."""

    timeout_s: float
    ending: threading.Event = field(default_factory=threading.Event)
    """Set when the process is stopping: waits end then."""

    def wait(self, database: Database, test_id: UUID) -> TrialResponse:
        """Waits for the result of a connection test, and deletes it.

        Raises NoWorkerError, ConnectionTestLostError, DatabaseError.
        """
        try:
            found = self._wait(ConnectionTestRepository(database), test_id)
        except DatabaseError:
            # Do not wait for an unresponsive database twice: the workers remove the row.
            raise
        except MillgateError:
            _delete(database, test_id)
            raise
        _delete(database, test_id)
        return TrialResponse(**dict(found), ok=found.failure is None)

    def _wait(self, tests: ConnectionTestRepository, test_id: UUID) -> TrialResult:
        deadline = time.monotonic() + self.timeout_s + _GRACE_S
        while not self.ending.wait(_LOOK_EVERY_S):
            set_deadline(REQUEST_LIMIT_S)
            progress = tests.find_progress(test_id)
            if progress is None:
                raise ConnectionTestLostError
            if progress.result is not None:
                return TrialResult.model_validate(progress.result)
            if not progress.has_worker or time.monotonic() > deadline:
                raise _error_without_result(progress)
        raise ConnectionTestLostError


def _error_without_result(progress: Progress) -> NoWorkerError | ConnectionTestLostError:
    return ConnectionTestLostError() if progress.is_claimed else NoWorkerError()


def _delete(database: Executor, test_id: UUID) -> None:
    set_deadline(REQUEST_LIMIT_S)
    try:
        ConnectionTestRepository(database).delete(test_id)
    except DatabaseError as error:
        log.warning(
            "cannot delete a connection test: %s; a worker removes it later; check PostgreSQL, see"
            " docs/runbook.md#database-away",
            error,
            extra={"connection_test": str(test_id)},
        )
