"""The host's network: raw sockets, kernel filters and time stamps, source addresses, ports."""
