"""Names and ASNs of addresses."""
