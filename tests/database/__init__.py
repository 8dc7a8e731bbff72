"""Statements, repositories, the schema and its migrations, on a real PostgreSQL."""
