"""Tests of the simulated gateway with websocket-client as an independent client."""
