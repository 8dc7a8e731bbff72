"""Which gateways are a worker's."""
