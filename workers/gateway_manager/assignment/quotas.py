"""How many gateways each worker should hold. Pure: every worker comes to the same answer by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.database.observed.workers import Standing

TOLERANCE = 0.1
"""A fleet is even when no two workers differ by more than this part of the mean, or by one gateway."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker should do now."""

    may_claim: int
    hand_over: int
    is_overloaded: bool = False
    """It holds more than it can carry."""


def quotas(wanted: int, standings: Sequence[Standing]) -> dict[UUID, int]:
    """A whole number each, `wanted` in all, or as many as can be carried.

    Who can carry less than an even part gets that; the others share the rest evenly, and who holds most gets
    what does not divide evenly.
    """
    left, shares = wanted, {}
    sharing = list(standings)
    while sharing:
        each = left // len(sharing)
        full = [standing for standing in sharing if standing.capacity <= each]
        if not full:
            break
        shares.update({standing.worker_id: standing.capacity for standing in full})
        left -= sum(standing.capacity for standing in full)
        sharing = [standing for standing in sharing if standing.capacity > each]
    by_held = sorted(sharing, key=lambda standing: (-standing.held, standing.worker_id))
    for rank, standing in enumerate(by_held):
        shares[standing.worker_id] = left // len(by_held) + (rank < left % len(by_held))
    return shares


def share_of(worker_id: UUID, wanted: int, standings: Sequence[Standing]) -> Share:
    """`standings`: the workers that claim; one that is not among them claims and hands over nothing."""
    held = {standing.worker_id: standing.held for standing in standings}
    if worker_id not in held:
        return Share(0, 0)
    quota = quotas(wanted, standings)
    mine = held[worker_id] - quota[worker_id]
    if mine <= 0:
        return Share(may_claim=-mine, hand_over=0)
    capacity = {standing.worker_id: standing.capacity for standing in standings}
    overload = max(0, held[worker_id] - capacity[worker_id])
    # Whoever is full by its quota is no measure of what is even.
    counts = [held[each] for each in held if quota[each] < capacity[each]]
    spread = max(counts) - min(counts) if counts else 0
    if spread <= max(1.0, TOLERANCE * wanted / len(standings)):
        return Share(0, overload, is_overloaded=overload > 0)
    # What others lack and can not find free: only that is worth ending sessions for.
    lack = sum(max(0, quota[other] - count) for other, count in held.items())
    free = max(0, wanted - sum(held.values()))
    return Share(0, max(overload, min(mine, max(0, lack - free))), is_overloaded=overload > 0)
