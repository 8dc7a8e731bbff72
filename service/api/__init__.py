"""HTTP, and no SQL: parse a request, ask a repository, respond."""
