"""Tests of the simulated gateway, with websocket-client as the other, independent side."""
