"""Backups of a database, and the encryption keys that they need."""
