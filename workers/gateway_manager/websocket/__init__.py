"""WebSockets to gateways, bounded in time and bytes. Knows no gateway's row and no login."""
