"""How many failed attempts an address may make. Pure but for its memory: the clock is passed in."""

import ipaddress
import threading
from collections import OrderedDict
from dataclasses import dataclass

BURST = 20
ONE_MORE_EVERY_S = 3.0
MAX_ADDRESSES = 4096


@dataclass(slots=True)
class _Allowance:
    left: float
    at: float


class FailureLimiter:
    """A bucket an address: `BURST` failures at once, one more every `ONE_MORE_EVERY_S`. Any thread may call.

    Remembers the `MAX_ADDRESSES` that failed last. Of IPv6 it counts networks of 64 bits, in which anybody
    has addresses without number.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()

    def count(self, address: str, now: float) -> float:
        """Counts a failure at this time (monotonic seconds). Seconds to wait; zero: it was still allowed."""
        key = bucket_of(address)
        with self._lock:
            allowance = self._allowances.pop(key, None) or _Allowance(BURST, now)
            self._allowances[key] = allowance
            if len(self._allowances) > MAX_ADDRESSES:
                self._allowances.popitem(last=False)
            allowance.left = min(BURST, allowance.left + (now - allowance.at) / ONE_MORE_EVERY_S)
            allowance.at = now
            if allowance.left < 1:
                return (1 - allowance.left) * ONE_MORE_EVERY_S
            allowance.left -= 1
            return 0.0

    def __len__(self) -> int:
        """How many addresses it remembers."""
        return len(self._allowances)


def bucket_of(address: str) -> str:
    """What an address is counted under."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
