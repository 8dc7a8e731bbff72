"""The current code reads the databases of the releases."""
