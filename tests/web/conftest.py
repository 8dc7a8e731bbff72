"""The API's servers, which serve the pages, too."""

import pytest

from tests.api.conftest import api, database, module_api, start_api
from tests.support.api_server import ApiServer
from tests.support.web_client import WebClient

__all__ = ["api", "database", "module_api", "start_api", "web"]


@pytest.fixture
def web(api: ApiServer) -> WebClient:
    """A browser that was never here before."""
    return WebClient(api)
