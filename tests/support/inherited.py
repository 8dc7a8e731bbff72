"""What programs that tests start see of the environment of the run: only what cannot change what they do."""

import os

# The second is how `make coverage` gets into them.
NAMES = ("PATH", "COVERAGE_PROCESS_CONFIG")


def inherited() -> dict[str, str]:
    """Names and values."""
    return {name: os.environ[name] for name in NAMES if name in os.environ}
