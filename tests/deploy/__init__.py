"""The files in deploy/ are checked by their tools and compared with the code."""
