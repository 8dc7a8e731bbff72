"""Fixtures of the development stack's tests."""

from tests.devstack.running import millgate

__all__ = ["millgate"]
