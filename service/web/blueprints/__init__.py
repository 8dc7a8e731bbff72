"""The views, one module for each family of them."""
