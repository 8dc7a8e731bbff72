"""The environment that started programs inherit: only variables that do not change their behaviour."""

import os

# With the second one `make coverage` measures them, too.
NAMES = ("PATH", "COVERAGE_PROCESS_CONFIG")


def inherited() -> dict[str, str]:
    """Return the names and values."""
    return {name: os.environ[name] for name in NAMES if name in os.environ}
