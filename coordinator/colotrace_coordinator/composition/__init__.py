"""The composition root of `serve`: builds all parts in a few steps. `build` is the entry."""
