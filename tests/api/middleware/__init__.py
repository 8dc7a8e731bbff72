"""Middleware of every request: tokens, origins, headers, notifications."""
