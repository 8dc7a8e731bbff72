"""What the releases left behind is read by the present code."""
