"""Tests of the checks, and of files that they cover."""
