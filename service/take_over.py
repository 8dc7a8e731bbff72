"""`python -m service.take_over`: lets workers connect the gateways of a restored copy.

Only for an operator who knows that no worker uses the original any more: each would open a session to every
gateway. Needs DATABASE_URL and nothing else of the settings. Exit status 0: the database is not held.
"""

import sys

from service.config import DatabaseConfig
from service.database.engine.first_connection import check_reachable
from service.database.engine.pool import Database
from service.database.engine.query import Executor
from service.database.security.database_identity import find_last_worker, take_over
from service.environment import read_environment
from service.errors import ConfigurationError, DatabaseError
from service.logs import configure_logging


def main() -> int:
    """The exit status of the process."""
    configure_logging("error")
    try:
        config = DatabaseConfig.read(read_environment())
        check_reachable(config, "millgate-take-over")
        database = Database(config, "millgate-take-over")
        database.open()
        try:
            with database.transaction() as transaction:
                _take_over(transaction)
        finally:
            database.close()
    except (ConfigurationError, DatabaseError) as error:
        print(f"The database was not taken over: {error}", file=sys.stderr)
        return 1
    return 0


def _take_over(executor: Executor) -> None:
    if not take_over(executor):
        print("This database is not held: workers use it, or may.")
        return
    if last := find_last_worker(executor):
        at = f"{last.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC"
        print(f"The last worker in this copy was on {last.host}, heard of at {at}.")
    print("Taken over: workers connect the gateways within seconds. Keep the original stopped.")


if __name__ == "__main__":
    sys.exit(main())
