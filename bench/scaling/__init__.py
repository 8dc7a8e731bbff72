"""A fleet that is larger than a machine, as PostgreSQL sees it."""
