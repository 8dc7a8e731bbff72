"""deploy/monitoring: rules and dashboard, checked with Prometheus's tools and real processes."""
