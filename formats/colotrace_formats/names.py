"""The names of the formats, for programs that don't render them."""

NAMES = ("json", "csv", "text", "markdown", "mtr", "atlas", "scamper", "dot", "html")
"""As in `formats.FORMATS`."""
