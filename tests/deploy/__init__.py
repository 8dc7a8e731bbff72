"""What is in deploy/: checked by the tools that read it, and held against the code."""
