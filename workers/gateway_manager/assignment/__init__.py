"""Which gateways are this worker's: desired state, quotas, what to start and stop. Pure but for `desired`."""
