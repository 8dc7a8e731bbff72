"""The operators' page over HTTP, without a browser."""
