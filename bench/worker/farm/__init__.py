"""`python -m bench.worker.farm`: thousands of gateways in one process, as cheap as they can be played.

The simulator (`simulator/`) is a gateway with faults and sensors on a WebSocket library; at 5,000 sessions it
would be what is measured. The farm knows the protocol and nothing else, on asyncio's bare protocols.
"""
