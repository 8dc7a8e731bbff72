"""What runs around every request: tokens, origins, headers, notifications."""
