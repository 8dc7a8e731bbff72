"""Measures the worker against other managers of WebSocket sessions: start, cost and growth."""
