"""The API's servers, which serve the pages, too."""

from tests.api.conftest import api, database, module_api, start_api

__all__ = ["api", "database", "module_api", "start_api"]
