"""The coordinator's own certificate authority (CA): what it signs, and how its key is kept."""
