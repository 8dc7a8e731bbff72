"""Helpers of the tests that use the API: tokens, workers' reports, events, and raw responses."""
