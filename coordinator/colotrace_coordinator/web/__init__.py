"""The page of the coordinator: its files, and how they are served (docs/adr/0023)."""
