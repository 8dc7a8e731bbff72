"""The HTTP API: a real gunicorn, over real HTTP, on a real PostgreSQL."""
