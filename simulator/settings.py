"""Settings of a simulated site."""

import math
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Credentials:
    """The login that a gateway accepts. The password never shows in `repr` or `str`."""

    email: str
    password: str = field(repr=False)

    def accept(self, email: str, password: str) -> bool:
        """Whether these are correct. Case matters: the protocol document mentions no case folding."""
        return email == self.email and password == self.password


class Rejection(Enum):
    """How a gateway rejects wrong credentials; the protocol has all three."""

    SUCCESS_FALSE = "success_false"
    ERROR = "error"
    ERROR_WITHOUT_ATTEMPT = "error_without_attempt"


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """Settings of all gateways of one site.

    notify_every_s: seconds between two notifications of one gateway; 0 = only requested ones.
    rejection: the answer to wrong credentials.
    answers_subscription: send `RTN_SUB_CHANGES`, as some firmware does, instead of no answer.
    history_keyed: key the list of readings "0", "1", … (the manual) instead of sending an array (observed).
    sensors_per_gateway: sensors that start at each gateway.
    reading_takes_s: seconds from `NOT_DYN_READING_STARTED` to `NOT_DYN_READING`.
    close_timeout_s: seconds for a client to answer a WebSocket close before the socket is aborted.
    """

    notify_every_s: float = 0.0
    rejection: Rejection = Rejection.SUCCESS_FALSE
    answers_subscription: bool = False
    history_keyed: bool = False
    sensors_per_gateway: int = 3
    reading_takes_s: float = 0.0
    close_timeout_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("notify_every_s", "reading_takes_s", "close_timeout_s"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} must be a number of seconds, 0 or more")
        if self.sensors_per_gateway < 0:
            raise ValueError("sensors_per_gateway must be 0 or more")
