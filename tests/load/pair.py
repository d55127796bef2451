"""Two coordinators that share a database, a broker and agents."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from fleet.authority import Authority

from bench.figures import BenchError

from .broker import Broker
from .programs import Agents, Coordinator

_WITHIN_S = 20.0
_LOOK_S = 0.05


class Pair:
    """Both coordinators know the agents, by their names, and each other."""

    def __init__(
        self,
        stack: ExitStack,
        directory: Path,
        authority: Authority,
        flags: Sequence[str],
        *,
        agents: Sequence[str],
        installed: bool = True,
    ) -> None:
        """`flags` are further ones of both coordinators. `stack` stops what was started."""
        self.broker = Broker(directory / "broker", authority)
        stack.callback(self.broker.close)
        flags = (*flags, "--mqtt", self.broker.url, "--mqtt-ca", str(authority.path))
        first = Coordinator(directory / "data", authority, flags, installed=installed)
        stack.callback(first.stop)
        second = Coordinator(
            directory / "data", authority, flags, shares=first, installed=installed
        )
        stack.callback(second.stop)
        self.coordinators = (first, second)
        self.agents = Agents(("--mqtt", self.broker.url), authority, installed=installed)
        stack.callback(self.agents.close)
        self.agents.add(agents)
        for coordinator in self.coordinators:
            coordinator.wait_attached(len(agents))
            _wait_until_two(coordinator)


def _wait_until_two(coordinator: Coordinator) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while coordinator.metric("colotrace_coordinators") < 2:
        if time.monotonic() > deadline:
            raise BenchError("the coordinators do not see each other")
        time.sleep(_LOOK_S)
