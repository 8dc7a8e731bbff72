"""Styles and programs of the pages, compressed once, under an address that changes with them."""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class StaticFile(NamedTuple):
    """A file as it is sent."""

    content_type: str
    body: bytes
    compressed: bytes


MODULES = ("millgate", "live", "events", "clock", "morph")
"""The first one imports the others."""
_OURS = {
    "millgate.css": "text/css; charset=utf-8",
    **{f"{module}.mjs": "text/javascript; charset=utf-8" for module in MODULES},
    "icon.svg": "image/svg+xml",
}
_BOOTSTRAP = "bootstrap.min.css"


@cache
def static_files() -> Mapping[str, StaticFile]:
    """All there are, by name."""
    here = files("service.web").joinpath("static")
    bodies = {name: (kind, here.joinpath(name).read_bytes()) for name, kind in _OURS.items()}
    css = files("flask_bootstrap").joinpath("static", "bootstrap5", "css", _BOOTSTRAP).read_bytes()
    # The map of its sources is not served.
    bodies[_BOOTSTRAP] = _OURS["millgate.css"], css.rpartition(b"/*# sourceMappingURL")[0]
    return {
        name: StaticFile(kind, body, gzip.compress(body, 9, mtime=0)) for name, (kind, body) in bodies.items()
    }


@cache
def digest() -> str:
    """Changes with any of them: part of their address, so that browsers may keep them for good."""
    hashed = hashlib.sha256()
    for name, file in sorted(static_files().items()):
        hashed.update(name.encode() + b"\0" + file.body)
    return hashed.hexdigest()[:12]
