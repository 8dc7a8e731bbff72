"""Creates connection tests, and reads their results."""

from typing import Any
from uuid import UUID, uuid4

from service.crypto import Secret
from service.database.desired.connection_tests import ConnectionTestRepository, StoredLogin
from service.database.engine.ids import new_id
from tests.support.testbed import WorkerTestBed
from tests.support.waiting import wait_until
from tests.support.worker_settings import EMAIL, PASSWORD

WAIT_S = 10.0


def begin(testbed: WorkerTestBed, url: str, password: str = PASSWORD, limit_s: float = 10) -> UUID:
    """Create a connection test as the API does."""
    test_id = new_id()
    sealed = testbed.sealer.seal(Secret(password), test_id)
    with testbed.database.transaction() as transaction:
        ConnectionTestRepository(transaction).create(test_id, StoredLogin(url, EMAIL), sealed, limit_s)
    return test_id


def put(testbed: WorkerTestBed, url: str, expires_in_s: float = 10, password: str = PASSWORD) -> UUID:
    """Insert one without checking the limit and without a notification."""
    test_id = uuid4()
    testbed.rows(
        """
        INSERT INTO connection_tests (id, url, email, sealed_password, sealed_for, expires_at)
        VALUES (%s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))
        """,
        test_id,
        url,
        EMAIL,
        testbed.sealer.seal(Secret(password), test_id),
        test_id,
        expires_in_s,
    )
    return test_id


def row_of(testbed: WorkerTestBed, test_id: UUID) -> Any:
    [row] = testbed.rows("SELECT * FROM connection_tests WHERE id = %s", test_id)
    return row


def result_of(testbed: WorkerTestBed, test_id: UUID) -> dict[str, Any]:
    """Return the result that a worker wrote."""
    result: dict[str, Any] = wait_until(lambda: row_of(testbed, test_id).result, WAIT_S, "a result")
    return result
