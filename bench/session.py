"""What the rows of one run of the benchmarks share: places, how often, and whom to tell."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from lab import Lab
from rich.console import Console

from bench.places import Delays, KernelRouters


class Session:
    """Places are made when first asked for, and removed with the session."""

    def __init__(self, console: Console, *, quick: bool) -> None:
        self.quick = quick
        self.left_out: list[str] = []
        """What could not be measured here, and why."""
        self._console = console
        self._stack = ExitStack()
        self._lab: Lab | None = None
        self._routers: KernelRouters | None = None
        self._delays: Delays | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def routers(self) -> KernelRouters:
        """The path of kernel routers."""
        if self._routers is None:
            self.say("bringing up the lab")
            self._routers = KernelRouters(self._stack.enter_context(Lab()))
        return self._routers

    def delays(self) -> Delays:
        """The path with round trips of 2 to 32 ms."""
        if self._delays is None:
            self.say("bringing up the world with delays")
            self._delays = self._stack.enter_context(Delays())
        return self._delays

    def runs(self, full: int, *, quick: int) -> int:
        """How often to measure."""
        return quick if self.quick else full

    def leave_out(self, what: str, error: Exception) -> None:
        """Note that this is not measured, for that reason."""
        self.left_out.append(f"{what}: {' '.join(str(error).split())}")
        self._console.print(f"bench: without {self.left_out[-1]}", style="yellow", highlight=False)

    def say(self, text: str) -> None:
        """Progress, on standard error."""
        self._console.print(f"[dim]· {text}[/]", highlight=False)
