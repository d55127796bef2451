"""The operator's command: an HTTP client of the coordinator."""
