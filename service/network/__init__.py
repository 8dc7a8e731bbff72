"""Hosts, ports and URLs, read alike by the API, the workers and the health checks."""
