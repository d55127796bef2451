"""What measurements show: merged paths, the differences of two, and what bad rows share. Pure."""
