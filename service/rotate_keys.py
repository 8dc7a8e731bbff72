"""`python -m service.rotate_keys`: re-encrypts every password with ENCRYPTION_KEY, without downtime.

Opens with ENCRYPTION_KEY and ENCRYPTION_KEYS_OLD. May be killed and started again at any time: each batch is
a transaction, and passwords already re-encrypted are skipped. Exit status 0: no other key is in use.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

from service.config import DatabaseConfig, read_sealer
from service.crypto import Sealer
from service.database.engine.first_connection import check_reachable
from service.database.engine.pool import Database
from service.database.security.key_checks import check_key, find_keys_in_use, retire_key
from service.database.security.reencryption import ReencryptionRepository, SealedPassword
from service.environment import read_environment
from service.errors import ConfigurationError, DatabaseError, SealError
from service.logs import configure_logging

BATCH = 200
# What others are changing is tried again; for this long nothing may come of it.
PATIENCE_S = 30.0
PAUSE_S = 0.2
_FIRST = UUID(int=0)


@dataclass
class Rotation:
    """One run. For one thread."""

    database: Database
    sealer: Sealer
    say: Callable[[str], None]
    reencrypted: int = 0
    """Passwords, in this run."""
    unreadable: int = 0
    """Passwords, as of the newest pass, that none of the keys opens."""

    def run(self) -> bool:
        """Return whether ENCRYPTION_KEY is the only key in use at the end.

        Raises ConfigurationError, DatabaseError.
        """
        with self.database.transaction() as transaction:
            check_key(transaction, self.sealer, will_seal=True)
        total = self._left()
        self.say(f"{total} passwords to re-encrypt with key {self.sealer.key_id}.")
        self._pass_until_none_is_left(total)
        return self._retire()

    def _pass_until_none_is_left(self, total: int) -> None:
        waker = threading.Event()
        left, give_up_at = total, monotonic() + PATIENCE_S
        while left > 0:
            self._pass(total)
            now_left = self._left() - self.unreadable
            if now_left < left:
                give_up_at = monotonic() + PATIENCE_S
            elif monotonic() > give_up_at:
                self.say(f"{now_left} passwords are being changed by others all the time: run this again.")
                return
            left = now_left
            waker.wait(PAUSE_S if left > 0 else 0)

    def _pass(self, total: int) -> None:
        """Once over all gateways, in the order of their ids."""
        after, self.unreadable = _FIRST, 0
        while True:
            with self.database.transaction() as transaction:
                seals = ReencryptionRepository(transaction)
                batch = seals.lock_batch(self.sealer.key_id, after, BATCH)
                if not batch:
                    return
                batch_sealed = [(was, sealed) for was in batch if (sealed := self._seal(was)) is not None]
                done = seals.reencrypt(batch_sealed)
            after = batch[-1].id
            self.reencrypted += done
            if done:
                self.say(f"{self.reencrypted} of {max(total, self.reencrypted)} done.")

    def _seal(self, was: SealedPassword) -> bytes | None:
        try:
            return self.sealer.seal(self.sealer.open(was.sealed_password, was.id), was.id)
        except SealError as error:
            self.unreadable += 1
            self.say(f"The password of gateway {was.id} does not open: {error}. Set it again.")
            return None

    def _left(self) -> int:
        uses = ReencryptionRepository(self.database).count_by_key()
        return sum(count for key_id, count in uses.items() if key_id != self.sealer.key_id)

    def _retire(self) -> bool:
        """Takes every other key out of use that no password needs, and says which may go."""
        is_alone = self._left() == 0
        for key_id in find_keys_in_use(self.database):
            if key_id == self.sealer.key_id:
                continue
            with self.database.transaction() as transaction:
                is_retired = retire_key(transaction, key_id)
            if is_retired:
                self.say(
                    f"Key {key_id} is no longer used anywhere: take it out of ENCRYPTION_KEYS_OLD."
                    " Backups from before still need it."
                )
            else:
                is_alone = False
                self.say(f"Key {key_id} is still in use: keep it, and run this again.")
        return is_alone


def main() -> int:
    """The exit status of the process."""
    configure_logging("error")
    try:
        environment = read_environment()
        sealer = read_sealer(environment)
        config = DatabaseConfig.read(environment)
        check_reachable(config, "millgate-rotate-keys")
        database = Database(config, "millgate-rotate-keys")
        database.open()
        try:
            is_alone = Rotation(database, sealer, lambda line: print(line, flush=True)).run()
        finally:
            database.close()
    except (ConfigurationError, DatabaseError) as error:
        print(f"The keys were not rotated to the end: {error}. Run this again.", file=sys.stderr)
        return 1
    return 0 if is_alone else 1


if __name__ == "__main__":
    sys.exit(main())
