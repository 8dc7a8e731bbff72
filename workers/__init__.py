"""The worker: keeps gateways connected and writes down what is."""
