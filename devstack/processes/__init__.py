"""Child processes: started, supervised, logged, and ended even when their owner was killed."""
