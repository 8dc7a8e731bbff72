"""The API beside the same API on other stacks."""
