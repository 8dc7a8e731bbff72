"""One gateway's connection: one thread, its login, keepalive, backoff and recovery."""
