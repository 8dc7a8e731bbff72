"""`make rehearse`: a restore and an upgrade under load, with real processes, shown as a table."""
