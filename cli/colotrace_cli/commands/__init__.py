"""One module a command: its flags, what it asks for, and what it prints."""
