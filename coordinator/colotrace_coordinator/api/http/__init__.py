"""The HTTP server: sockets, connections, framing, deadlines and bounds (docs/adr/0011)."""
