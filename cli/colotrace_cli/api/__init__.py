"""The coordinator's API as a client sees it: exchanges, answers and their shapes."""
