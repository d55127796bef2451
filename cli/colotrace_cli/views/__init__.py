"""What the command prints: pure functions from data to lines."""
