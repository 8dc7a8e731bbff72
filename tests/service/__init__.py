"""Code shared by API and workers: settings, crypto and logs."""
