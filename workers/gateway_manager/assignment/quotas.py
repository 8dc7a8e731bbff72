"""How many gateways each worker should hold. Pure: each worker computes the same result."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.database.observed.workers import WorkerLoad

TOLERANCE = 0.1
"""A fleet is even when no two workers differ by more than this part of the mean, or by one gateway."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What one worker should do now."""

    may_claim: int
    hand_over: int
    is_overloaded: bool = False
    """It holds more gateways than its capacity."""


def quotas(wanted: int, loads: Sequence[WorkerLoad]) -> dict[UUID, int]:
    """A whole number each, `wanted` in all, or as many as can be carried.

    A worker whose capacity is below an even share gets its capacity; the others divide the rest evenly, and
    those that hold the most get the remainder.
    """
    left, quotas_by_worker = wanted, {}
    remaining = list(loads)
    while remaining:
        each = left // len(remaining)
        full = [load for load in remaining if load.capacity <= each]
        if not full:
            break
        quotas_by_worker.update({load.worker_id: load.capacity for load in full})
        left -= sum(load.capacity for load in full)
        remaining = [load for load in remaining if load.capacity > each]
    by_held = sorted(remaining, key=lambda load: (-load.held, load.worker_id))
    for rank, load in enumerate(by_held):
        quotas_by_worker[load.worker_id] = left // len(by_held) + (rank < left % len(by_held))
    return quotas_by_worker


def quota_for(worker_id: UUID, wanted: int, loads: Sequence[WorkerLoad]) -> Quota:
    """`loads`: the workers that claim gateways; any other claims and hands over nothing."""
    held = {load.worker_id: load.held for load in loads}
    if worker_id not in held:
        return Quota(0, 0)
    quota = quotas(wanted, loads)
    mine = held[worker_id] - quota[worker_id]
    if mine <= 0:
        return Quota(may_claim=-mine, hand_over=0)
    capacity = {load.worker_id: load.capacity for load in loads}
    overload = max(0, held[worker_id] - capacity[worker_id])
    # A worker whose quota is its capacity says nothing about the balance.
    counts = [held[each] for each in held if quota[each] < capacity[each]]
    spread = max(counts) - min(counts) if counts else 0
    if spread <= max(1.0, TOLERANCE * wanted / len(loads)):
        return Quota(0, overload, is_overloaded=overload > 0)
    # End sessions only for gateways that others lack and cannot claim.
    lack = sum(max(0, quota[other] - count) for other, count in held.items())
    free = max(0, wanted - sum(held.values()))
    return Quota(0, max(overload, min(mine, max(0, lack - free))), is_overloaded=overload > 0)
