"""The HTTP side: routes, the public shapes, the envelope and its error codes, authentication."""
