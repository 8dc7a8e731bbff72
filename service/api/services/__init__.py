"""What lives as long as a process of the API: its threads, and what handlers share."""
