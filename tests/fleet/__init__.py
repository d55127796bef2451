"""A coordinator and agents as real processes on the lab, for tests, the demo and benchmarks."""

from fleet.fleet import AgentSpec, Fleet, FleetError

__all__ = ["AgentSpec", "Fleet", "FleetError"]
