"""One file for each step; the newest one's `revision` is `store.schema.HEAD`."""
