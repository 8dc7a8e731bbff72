"""One gateway's connection, and how connections share a worker."""
