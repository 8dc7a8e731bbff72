"""The API's configuration with a delay between the fork and the child's signal handlers."""

import time
from typing import Any

from service.gunicorn_conf import *  # noqa: F403
from service.gunicorn_conf import post_fork as original_post_fork


def post_fork(server: Any, worker: Any) -> None:  # type: ignore[no-redef]
    """Sleep two seconds, even if signals interrupt it."""
    original_post_fork(server, worker)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        time.sleep(0.05)
