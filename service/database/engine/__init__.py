"""The connection pool, and how statements run. Knows no table."""
