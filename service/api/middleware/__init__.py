"""What runs around every request: tokens, origins, headers, the log, metrics, notifications."""
