"""The API's processes: slow clients, faults of the database, fairness between requests."""
