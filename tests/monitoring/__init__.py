"""deploy/monitoring: rules and dashboard, checked by Prometheus's own tools and against real processes."""
