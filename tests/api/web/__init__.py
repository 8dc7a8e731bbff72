"""From a request's bytes to values, and from values to a response."""
