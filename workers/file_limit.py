"""The number of files that this process may have open: 17 for 16 gateways."""

import resource
from contextlib import suppress


def raise_file_limit() -> None:
    """As far as the system lets a process go by itself; its usual 1,024 is for programs of another kind."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems call the hard limit infinite and take no such number.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
