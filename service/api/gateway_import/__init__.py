"""Importing thousands of gateways: from a file's bytes to rows that were checked."""
