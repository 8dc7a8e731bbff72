"""Attaches to each test the requirement rows that it proves: properties in a report of JUnit's XML."""

import pytest

PROPERTY_NAME = "requirement_rows"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """User properties also travel from xdist's workers."""
    for item in items:
        rows = [row for mark in item.iter_markers("req") for row in mark.args]
        if rows:
            item.user_properties.append((PROPERTY_NAME, " ".join(rows)))
