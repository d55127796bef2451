"""Which colo owes what, by when, and who stands in: machines without clock, sockets or logs."""
