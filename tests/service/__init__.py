"""What the API and the workers share: settings, crypto, logs, SQL and the schema."""
