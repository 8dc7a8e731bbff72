"""How many gateways each worker should hold. Pure: every worker comes to the same answer by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from service.database.workers import Standing

TOLERANCE = 0.1
"""A fleet is even when no two workers differ by more than this part of the mean, or by one gateway."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker should do now."""

    may_claim: int
    hand_over: int


def quotas(wanted: int, standings: Sequence[Standing]) -> dict[UUID, int]:
    """A whole number each, `wanted` in all; who holds most gets what does not divide evenly."""
    each, left = divmod(wanted, len(standings))
    by_held = sorted(standings, key=lambda standing: (-standing.held, standing.worker_id))
    return {standing.worker_id: each + (rank < left) for rank, standing in enumerate(by_held)}


def share_of(worker_id: UUID, wanted: int, standings: Sequence[Standing]) -> Share:
    """`standings`: the workers that claim; one that is not among them claims and hands over nothing."""
    held = {standing.worker_id: standing.held for standing in standings}
    if worker_id not in held:
        return Share(0, 0)
    quota = quotas(wanted, standings)
    mine = held[worker_id] - quota[worker_id]
    if mine <= 0:
        return Share(may_claim=-mine, hand_over=0)
    if max(held.values()) - min(held.values()) <= max(1.0, TOLERANCE * wanted / len(standings)):
        return Share(0, 0)
    # What others lack and can not find free: only that is worth ending sessions for.
    lack = sum(max(0, quota[other] - count) for other, count in held.items())
    free = max(0, wanted - sum(held.values()))
    return Share(may_claim=0, hand_over=min(mine, max(0, lack - free)))
