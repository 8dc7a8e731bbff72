"""The processes: slow clients, faults underneath, fairness between requests."""
