"""The OpenAPI document: complete, valid, and usable by generated clients."""
