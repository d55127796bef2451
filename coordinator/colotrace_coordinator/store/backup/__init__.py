"""Backups: all tables of one moment in a ZIP file, from SQLite or PostgreSQL, and back into either.

`archive` is the file, `saving` reads a database into it, and `restoring` makes a database of it.
"""
