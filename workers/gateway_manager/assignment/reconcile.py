"""How to get from the running connections to the desired ones. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

Version = tuple[int, datetime]
"""A gateway's generation, and when a client last requested to connect it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Ids of gateways: whose connections to start, to change, to stop."""

    start: list[UUID] = field(default_factory=list)
    change: list[UUID] = field(default_factory=list)
    stop: list[UUID] = field(default_factory=list)


def make_plan(
    wanted: Mapping[UUID, Version], running: Mapping[UUID, Version], stopping: Iterable[UUID]
) -> Plan:
    """`stopping` are those of `running` that are stopping: each ends before it may start again."""
    left = set(stopping)
    return Plan(
        start=[gateway_id for gateway_id in wanted if gateway_id not in running],
        change=[
            gateway_id
            for gateway_id, version in wanted.items()
            if gateway_id in running and gateway_id not in left and running[gateway_id] != version
        ],
        stop=[gateway_id for gateway_id in running if gateway_id not in wanted and gateway_id not in left],
    )
