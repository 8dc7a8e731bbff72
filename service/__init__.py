"""What the API and the workers share, and the API itself."""

__version__ = "0.2.0"
