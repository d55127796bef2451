"""The body of a trace request: read, checked, and turned into targets, colos and options."""
