"""Measures the API against the same API on other stacks."""
