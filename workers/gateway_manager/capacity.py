"""How many gateways this worker can hold: by the system's limits, or fewer after resources ran out."""

import errno
import logging
import threading
from time import monotonic

log = logging.getLogger("millgate.manager")

RETRY_S = 60.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN})


def is_exhausted(error: OSError) -> bool:
    """Whether the system has no resources for another file, socket or process."""
    return error.errno in _EXHAUSTED


class Capacity:
    """Any thread may call."""

    def __init__(self, gateways: int, retry_s: float | None = None) -> None:
        """`gateways`: what the limits allow. `retry_s`: how long a reduction lasts."""
        self._gateways = gateways
        self._retry_s = RETRY_S if retry_s is None else retry_s
        self._lock = threading.Lock()
        self._reduced = gateways
        self._reduced_until = 0.0

    def current(self) -> int:
        """How many gateways this worker should hold at most."""
        with self._lock:
            return self._reduced if monotonic() < self._reduced_until else self._gateways

    def reduce(self, gateways: int, what: str) -> None:
        """The system had no resources for more than this many. Logged once per reduction."""
        with self._lock:
            is_known = monotonic() < self._reduced_until
            self._reduced = max(0, min(gateways, self._reduced if is_known else self._gateways))
            self._reduced_until = monotonic() + self._retry_s
        if not is_known:
            log.error(
                "out of files or threads (%s): this worker carries %d gateways for the next %.0f s, others"
                " the rest; raise its limits or start another worker, see docs/runbook.md#worker-full",
                what,
                gateways,
                self._retry_s,
                extra={"carried": gateways},
            )
