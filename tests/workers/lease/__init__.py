"""The lease, the watchdog, and take-overs."""
