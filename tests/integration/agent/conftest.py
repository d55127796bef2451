"""The jobs of the unit tests, for links to real brokers."""

from unit.agent.conftest import jobs, prober, resolver

__all__ = ["jobs", "prober", "resolver"]
