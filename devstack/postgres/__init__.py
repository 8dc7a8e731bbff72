"""An embedded PostgreSQL: its programs, its cluster, its server, and the user it runs as."""
