"""The unit tests' fake jobs, for links to real brokers."""

from unit.agent.conftest import jobs, prober, resolver

__all__ = ["jobs", "prober", "resolver"]
