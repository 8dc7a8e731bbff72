"""`make bench`: measures Millgate against its alternatives in one run on one machine."""
