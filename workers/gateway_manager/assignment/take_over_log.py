"""What the log says of gateways that change hands: a line each, up to a bound, then a count."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC
from uuid import UUID

from service.database.observed.connections import ClaimedGateway
from service.database.observed.workers import ReapedWorker
from service.gateway_states import ReasonCode

log = logging.getLogger("millgate.manager")

MAX_LINES = 20
"""Of one claim."""

_WHY = {
    ReasonCode.WORKER_LOST: ", which has ended",
    ReasonCode.WORKER_SHUTDOWN: ", which is stopping",
    ReasonCode.REBALANCED: ", which holds more gateways",
    ReasonCode.NO_CAPACITY: ", which is at capacity",
}


def log_reaped(worker: ReapedWorker, gateways: int) -> None:
    """A worker's lease had expired, and this many gateways are free now."""
    log.warning(
        "%s has ended: it renewed its lease last at %s, and the lease expired at %s; the %d gateways that it"
        " held are free and will be taken over; check why it ended, see docs/runbook.md#worker-ended",
        _described(worker.host, worker.pid),
        worker.last_renewed_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        worker.lease_expired_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        gateways,
        extra={"worker": str(worker.id), "host": worker.host, "pid": worker.pid, "gateways": gateways},
    )


def log_claimed(claimed: Sequence[ClaimedGateway], claimed_by: UUID) -> None:
    """These gateways were claimed; those among them that another worker held were taken over."""
    log.info("claimed %d gateways", len(claimed), extra={"gateways": len(claimed)})
    taken = [
        one for one in claimed if one.last_worker_id not in (None, claimed_by) and one.reason_code in _WHY
    ]
    for gateway in taken[:MAX_LINES]:
        log.info(
            "took over gateway %s (%s) from %s",
            gateway.device_id,
            gateway.name,
            _last_holder(gateway),
            extra={
                "gateway": str(gateway.gateway_id),
                "gateway_id": gateway.device_id,
                "reason": gateway.reason_code,
                "worker": str(gateway.last_worker_id),
            },
        )
    for (holder, worker), count in Counter(
        (_last_holder(one), str(one.last_worker_id)) for one in taken[MAX_LINES:]
    ).items():
        extra = {"worker": worker, "gateways": count}
        log.info("took over %d more gateways from %s", count, holder, extra=extra)


def _last_holder(gateway: ClaimedGateway) -> str:
    why = _WHY[ReasonCode(gateway.reason_code)] if gateway.reason_code else ""
    return _described(gateway.last_host, gateway.last_pid) + why


def _described(host: str | None, pid: int | None) -> str:
    return "a worker that ended long ago" if host is None else f"worker {host} (pid {pid})"
