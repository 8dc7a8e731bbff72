"""Reconciles connections with desired state, one thread each, under a lease; reports in batches."""
