"""SQL, and only SQL: hand-written statements, typed rows, and errors of our own."""
