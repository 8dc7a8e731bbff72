"""Observed state: what is. Written by workers alone."""
