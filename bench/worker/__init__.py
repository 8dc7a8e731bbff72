"""The worker beside other managers of WebSocket sessions: how fast it starts, what it costs, how it grows."""
