"""A simulated CTC Connect Wireless gateway: real sockets, the real protocol, and faults on request.

It imports nothing from the service or its workers, so that differing readings of the protocol show.
"""

from simulator.counters import SessionEnd
from simulator.faults import Fault
from simulator.gateway import Gateway
from simulator.settings import Credentials, SiteSettings
from simulator.site import Site

__all__ = ["Credentials", "Fault", "Gateway", "SessionEnd", "Site", "SiteSettings"]
