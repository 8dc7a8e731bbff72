"""`make check`, generated files, lock files, and the README's commands on fresh systems."""
