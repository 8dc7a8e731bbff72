"""Tests of supervision: processes, owners, restarts."""
