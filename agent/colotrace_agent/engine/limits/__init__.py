"""How fast probes may leave, and what is known of routers that limit their answers."""
