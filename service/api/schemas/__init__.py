"""Pydantic models of requests and responses, by resource."""
