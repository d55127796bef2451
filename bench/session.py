"""State shared by the rows of a benchmark run: places, number of runs, progress output."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack

from rich.console import Console

from bench.places import DELAYS, Place, alone_on_its_core, kernel_routers, user_space
from bench.responder import Network, Responder


class Session:
    """Creates places when they are first needed; the stack closes them."""

    def __init__(self, stack: ExitStack, console: Console, *, quick: bool) -> None:
        self.quick = quick
        """Whether one short run is enough, only to see that it works."""
        self._console = console
        self._stack = stack
        self._routers: Place | None = None
        self._delays: Place | None = None

    def routers(self) -> Place:
        """The path of kernel routers; in a quick run, the path with delays."""
        if self.quick:
            return self.delays()
        if self._routers is None:
            self.say("bringing up the lab")
            self._routers = self._stack.enter_context(kernel_routers())
        return self._routers

    def delays(self) -> Place:
        """The path with RTTs of 2 to 32 ms."""
        if self._delays is None:
            self.say("bringing up the network with delays")
            work = "15 hops at 2 to 32 ms (user-space responder)"
            place = user_space(DELAYS, work, installed=not self.quick)
            self._delays = self._stack.enter_context(place)
        return self._delays

    def paths(self) -> list[Place]:
        """Both paths."""
        return list(dict.fromkeys([self.routers(), self.delays()]))

    def fast(self, network: Network, *, records: int = 0) -> AbstractContextManager[Responder]:
        """A responder on a core of its own; in a quick run, on any core."""
        if self.quick:
            return Responder(network, records=records)
        return alone_on_its_core(network, records=records)

    def runs(self, full: int, *, quick: int = 1) -> int:
        """The number of runs."""
        return quick if self.quick else full

    def warn(self, what: str, why: object) -> None:
        """Report that something could not be measured."""
        text = " ".join(str(why).split())
        self._console.print(f"bench: without {what}: {text}", style="yellow", highlight=False)

    def say(self, text: str) -> None:
        """Print progress on standard error."""
        self._console.print(f"[dim]· {text}[/]", highlight=False)
