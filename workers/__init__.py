"""The worker: keeps gateways connected and records their state."""
