"""Desired state: what should be. Written by the API alone."""
