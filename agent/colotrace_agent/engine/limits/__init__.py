"""Rates at which probes may leave, and routers that limit the rate of their answers."""
