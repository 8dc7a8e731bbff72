"""Connection tests on a worker."""
