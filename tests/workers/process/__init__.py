"""The worker's process: limits, signals, logs and metrics."""
