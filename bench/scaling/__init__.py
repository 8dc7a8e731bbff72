"""The load on PostgreSQL of a fleet that is larger than one machine."""
