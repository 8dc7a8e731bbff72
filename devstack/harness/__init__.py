"""Shared by `make chaos` and `make bench`: a sandbox for processes, and the selection of rows."""
