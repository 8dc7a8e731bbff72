"""Tests of `make install`."""
