"""The routes of the pages, with something in the place of each variable."""

import re
from collections.abc import Iterator
from uuid import UUID

from service.app import create_app
from service.config import ApiConfig
from service.environment import Environment
from tests.support.api_server import KEY


def page_routes() -> Iterator[tuple[str, str]]:
    """Each method and path."""
    config = ApiConfig.read(Environment({"DATABASE_URL": "postgresql:///none", "ENCRYPTION_KEY": KEY}))
    for rule in create_app(config).url_map.iter_rules():
        if not rule.rule.startswith(("/api", "/metrics")):
            path = re.sub(r"<(?:\w+:)?\w+_id>", str(UUID(int=7)), rule.rule)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, re.sub(r"<[^>]+>", "x", path)
