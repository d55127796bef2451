"""Distances of targets, kept for ten minutes: where the next trace expects the target."""

from collections import OrderedDict

from colotrace_proto.messages import PacketType

from colotrace_agent.model import TraceSpec

_KEPT_NS = 600 * 10**9


class Distances:
    """Distances by target, packet type, port and flow, at most `most` of them."""

    def __init__(self, *, most: int = 65_536) -> None:
        self._most = most
        self._known: OrderedDict[tuple[PacketType, bytes, int, int], tuple[int, int]] = (
            OrderedDict()
        )

    def of(self, spec: TraceSpec, target: bytes, now: int) -> int | None:
        """The TTL at which the target is expected to answer; None if it is not known."""
        at, ttl = self._known.get(_place_of(spec, target), (0, None))
        return ttl if now - at <= _KEPT_NS else None

    def put(self, spec: TraceSpec, target: bytes, ttl: int, now: int) -> None:
        """Store the lowest TTL at which the target answered."""
        place = _place_of(spec, target)
        if spec.rounds:
            # Other flows may have longer paths, and need all probes of each of their TTLs.
            ttl = max(ttl, self.of(spec, target, now) or 0)
        self._known[place] = now, ttl
        self._known.move_to_end(place)
        if len(self._known) > self._most:
            self._known.popitem(last=False)


def _place_of(spec: TraceSpec, target: bytes) -> tuple[PacketType, bytes, int, int]:
    return spec.packet_type, target, spec.port, 0 if spec.rounds else spec.flow
