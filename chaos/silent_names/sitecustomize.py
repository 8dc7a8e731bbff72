"""Python runs this first when its folder is on PYTHONPATH: names that end with .silent then have no answer.

As with the system's own look-up when no name server answers: it takes long, and then fails. Names that end
with .known lead to this machine.
"""

import socket
import time
from typing import Any

HANGS_FOR_S = 20.0
right_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
    """As `socket.getaddrinfo`."""
    if isinstance(host, str) and host.endswith(".silent"):
        time.sleep(HANGS_FOR_S)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    is_known = isinstance(host, str) and host.endswith(".known")
    return right_getaddrinfo("127.0.0.1" if is_known else host, *arguments, **options)


socket.getaddrinfo = getaddrinfo
