"""A gateway's connection, and the resources that connections share."""
