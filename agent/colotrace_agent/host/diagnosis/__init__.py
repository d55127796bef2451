"""Whether this host can trace well: one small judgement a file, each from what it is given."""
