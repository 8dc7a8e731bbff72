"""`python -m bench.worker.gateway_server`: thousands of gateways in one process, as cheap as can be.

The simulator (`simulator/`) is a gateway with faults and sensors on a WebSocket library; at 5,000 sessions it
would be what is measured. The server knows the protocol and nothing else, on asyncio's bare protocols.
"""
