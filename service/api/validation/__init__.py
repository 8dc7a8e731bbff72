"""What single values may be: texts, URLs, times, metadata. Pure."""
