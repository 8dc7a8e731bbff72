"""Runs Millgate on one machine without Docker: embedded PostgreSQL and process supervision."""
