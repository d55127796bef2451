"""A measurement while it runs: its events, and who follows them."""
