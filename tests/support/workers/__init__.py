"""Helpers of the workers' tests: connection tests, hostile gateways, and look-ups."""
