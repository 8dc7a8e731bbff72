"""A client that writes all the time, and remembers what the API said it had written."""

import http.client
import itertools
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import psycopg

from devstack.rehearsal.installation import call

PAUSE_S = 0.02
STOP_LIMIT_S = 20.0
# Of so many writes one creates a gateway and one deletes one; the others change a name.
KINDS = 20
CREATE, DELETE = 0, 1
FEWEST = 20
"""So many gateways are left."""


@dataclass(frozen=True)
class Written:
    """What the last answer with 2xx about a gateway means for its row."""

    number: int
    """Its name ends with this, or with one that was written later."""
    is_deleted: bool = False


class Load:
    """One thread. Any thread may call its methods."""

    def __init__(self, port: int, urls: Mapping[str, str], login: Mapping[str, str]) -> None:
        """`urls`: of the gateways that may be created, by their identifiers. Raises OSError."""
        self.port = port
        """Where it writes; may be changed at any time."""
        self._login = login
        self._factory = call(port, "POST", "/api/factories", {"name": "Rehearsal"})[1]["id"]
        self._urls: Iterator[tuple[str, str]] = iter(urls.items())
        self._numbers = itertools.count(1)
        self._written: dict[str, Written] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._random = random.Random(1)  # noqa: S311 - the same each time
        self._thread: threading.Thread | None = None
        self.answered = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="rehearsal-load")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Returns after the last answer. Harmless twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_LIMIT_S)

    def create(self) -> bool:
        """Creates the next gateway, for which the login counts; False if there are no more."""
        device, url = next(self._urls, ("", ""))
        if not device:
            return False
        number = next(self._numbers)
        names = {"factory_id": self._factory, "gateway_id": device, "name": f"{device} {number}", "url": url}
        created = self._write("POST", "/api/gateways", {**names, **self._login})
        if created is not None:
            self._note(created["id"], Written(number))
        return True

    def written(self) -> dict[str, Written]:
        """What was answered with 2xx until now."""
        with self._lock:
            return dict(self._written)

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE_S):
            kind = self._random.randrange(KINDS)
            if kind == CREATE and self.create():
                continue
            live = [row_id for row_id, each in self.written().items() if not each.is_deleted]
            row_id = self._random.choice(live)
            if kind == DELETE and len(live) > FEWEST:
                self._delete(row_id)
            else:
                self._rename(row_id)

    def _rename(self, row_id: str) -> None:
        number = next(self._numbers)
        if self._write("PATCH", f"/api/gateways/{row_id}", {"name": f"Renamed {number}"}) is not None:
            self._note(row_id, Written(number))

    def _delete(self, row_id: str) -> None:
        if self._write("DELETE", f"/api/gateways/{row_id}", None) is not None:
            self._note(row_id, Written(0, is_deleted=True))

    def _note(self, row_id: str, written: Written) -> None:
        with self._lock:
            self._written[row_id] = written

    def _write(self, method: str, path: str, body: object) -> dict[str, Any] | None:
        """The answer if it is 2xx; otherwise what happened is noted."""
        try:
            status, answer = call(self.port, method, path, body)
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(f"{method}: {type(error).__name__}")
            return None
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            self.failures.append(f"{method}: {status}")
            return None
        self.answered += 1
        return answer or {}


def find_missing(database_url: str, written: Mapping[str, Written]) -> list[str]:
    """The ids of the gateways that a database does not have as they were written, or newer."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT id::text, name, deleted_at IS NOT NULL FROM gateways").fetchall()
    there = {row_id: (int(name.rpartition(" ")[2]), is_deleted) for row_id, name, is_deleted in rows}
    return [row_id for row_id, each in written.items() if not _has(there.get(row_id), each)]


def _has(row: tuple[int, bool] | None, written: Written) -> bool:
    if row is None:
        return False
    number, is_deleted = row
    return is_deleted if written.is_deleted else is_deleted or number >= written.number
