"""Helpers shared by tests of several packages: servers, workers, certificates, and waiting."""
