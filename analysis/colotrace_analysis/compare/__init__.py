"""The parts of `diff`: the changes of a path, of a row, and rows that changed alike."""
