"""The faults, by what they befall. Each function plays one and writes what it found."""
