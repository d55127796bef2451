"""The commands that work on the database alone: credentials, and the colos that are known."""
