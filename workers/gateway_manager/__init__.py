"""Keeps connections: which should run, which do, one thread each, under a lease, reported in batches."""
