"""The worker's right to its gateways: the lease, when it expires, and the watchdog."""
