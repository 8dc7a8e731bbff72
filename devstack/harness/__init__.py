"""What `make chaos` and `make bench` share: a directory, processes that end with it, and a choice of rows."""
