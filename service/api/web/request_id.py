"""The id of a request: the client's own, or one that is made for it."""

import os
import re

from flask import g

HEADER = "X-Request-ID"

_ACCEPTED = re.compile(r"[\x21-\x7e]{1,128}")


def request_id() -> str:
    """The id of the request in hand."""
    return str(g.request_id)


def new_request_id() -> str:
    """An id for a request that came without one."""
    return os.urandom(16).hex()


def accepted_request_id(offered: str | None) -> str:
    """The id that the client offers if it can be shown and logged as it is, else a new one."""
    if offered is not None and _ACCEPTED.fullmatch(offered):
        return offered
    return new_request_id()
