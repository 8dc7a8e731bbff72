"""`python -m bench.worker.gateway_server`: thousands of gateways in one process, at minimal cost.

The simulator (`simulator/`) is a gateway with faults and sensors on a WebSocket library; at 5,000 sessions
its own cost would dominate. This server implements only the protocol, on asyncio's bare protocols.
"""
