"""A client's connection to a simulated gateway: listener, handshake, session, and their faults."""
