"""The requests that every contestant is measured with, and the goals."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """One kind of request; `kind` is its name in load.lua."""

    kind: str
    shown: str
    fastify_goal: float
    """The goal: Millgate's rate as a multiple of that of Fastify in one process."""
    writes: bool = False


ENDPOINTS = (
    Endpoint("get", "GET one gateway", 1.0),
    Endpoint("list20", "list, limit 20", 3.0),
    Endpoint("list100", "list, limit 100", 3.0),
    Endpoint("factory20", "list of one factory, limit 20", 3.0),
    Endpoint("put", "PUT", 1.2, writes=True),
    Endpoint("post", "POST (AES-256-GCM)", 1.1, writes=True),
)
