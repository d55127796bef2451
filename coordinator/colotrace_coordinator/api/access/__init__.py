"""Who asks: credentials, permissions, limits of requests and failures."""
