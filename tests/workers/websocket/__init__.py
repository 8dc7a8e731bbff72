"""The WebSocket client, against good peers and hostile ones."""
