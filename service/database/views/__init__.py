"""Desired and observed state read together, for the API. Writes nothing."""
