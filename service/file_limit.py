"""The number of files that this process may have open."""

import resource
from contextlib import suppress


def raise_file_limit() -> int:
    """Raise the soft limit to the hard one; return the limit that holds then (or RLIM_INFINITY).

    The usual soft limit of 1,024 is for programs of another kind.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems call the hard limit infinite and take no such number.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft
