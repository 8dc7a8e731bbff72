"""API tokens, and the encryption keys of stored passwords."""
