"""A coordinator and agents as real processes on the lab, for tests, the demo and benchmarks."""

from fleet.broker import Broker, BrokerError
from fleet.fleet import ACCOUNT, AgentSpec, Fleet, FleetError

__all__ = ["ACCOUNT", "AgentSpec", "Broker", "BrokerError", "Fleet", "FleetError"]
