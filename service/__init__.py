"""What the API and the workers share, and the API itself."""
