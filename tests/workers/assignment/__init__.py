"""The assignment of gateways to workers."""
