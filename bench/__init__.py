"""`make bench`: Millgate beside what a user would pick instead, in one run, on one machine."""
