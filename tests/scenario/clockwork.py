"""Deliveries that are due later, in order of their time."""

import heapq

from scenario.world import Delivery


class Agenda:
    """A queue by time; packets due at the same time leave in the order they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, bytes]] = []
        self._added = 0

    def add(self, deliveries: list[Delivery]) -> None:
        """Put deliveries on the agenda."""
        for delivery in deliveries:
            heapq.heappush(self._heap, (delivery.at_ns, self._added, delivery.packet))
            self._added += 1

    def next_ns(self) -> int | None:
        """Return when the next delivery is due, None where there is none."""
        return self._heap[0][0] if self._heap else None

    def due(self, now_ns: int) -> list[Delivery]:
        """Take off what is due by now."""
        out = []
        while self._heap and self._heap[0][0] <= now_ns:
            at_ns, _, packet = heapq.heappop(self._heap)
            out.append(Delivery(at_ns, packet))
        return out
