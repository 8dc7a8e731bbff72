"""The lease, the watchdog, and taking over."""
