"""In which order the probes of a trace leave, and which of them are skipped."""

import random

from colotrace_agent.model import TraceSpec

from .rules import Bounds, probe_at, probes_at


class Order:
    """The probes of one trace that are still to be sent.

    A trace in rounds sends one probe of every TTL before the next of any: a route that changes
    meanwhile shows in the later rounds. Later rounds are shuffled, with another seed for each flow.
    Otherwise a balancer that alternates by packet could send each flow the same way every time, and
    look like a balancer by flow.
    """

    __slots__ = ("_later_round", "_next", "_spec")

    def __init__(self, spec: TraceSpec, *, seed: int) -> None:
        self._spec = spec
        self._next = 0  # position in the sending order, counting skipped probes
        self._later_round = _shuffled(spec.max_ttl, seed) if spec.rounds else []

    def upcoming(self, bounds: Bounds[int]) -> tuple[int, int] | None:
        """The next probe's TTL, and how many of that TTL come before it; None where none is left.

        Probes that `bounds` excludes are never sent, because bounds only decrease.
        """
        spec = self._spec
        while self._next < spec.max_ttl * spec.packets_per_ttl:
            ttl, earlier = self._probe()
            if earlier < probes_at(ttl, spec.packets_per_ttl, bounds):
                return ttl, earlier
            self._next += 1
        return None

    def take(self, bounds: Bounds[int]) -> tuple[int, int]:
        """Return what `upcoming` returns, and advance past it.

        Raises:
            LookupError: No probe is left to be sent.
        """
        upcoming = self.upcoming(bounds)
        if upcoming is None:
            raise LookupError("no probe is left to be sent")
        self._next += 1
        return upcoming

    def _probe(self) -> tuple[int, int]:
        if not self._spec.rounds:
            return probe_at(self._next, self._spec.packets_per_ttl)
        earlier, at = divmod(self._next, self._spec.max_ttl)
        return (self._later_round[at] if earlier else at) + 1, earlier


def _shuffled(ttls: int, seed: int) -> list[int]:
    places = list(range(ttls))
    random.Random(seed).shuffle(places)  # noqa: S311 - nothing secret
    return places
