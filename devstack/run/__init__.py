"""`make run`, `make demo` and the single parts: Millgate on this machine."""
