"""From a request to values, and from values or errors to a response."""
