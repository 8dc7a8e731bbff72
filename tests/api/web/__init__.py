"""Parsing of requests and writing of responses."""
