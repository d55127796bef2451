"""Where a registry remembers colos in tests."""

from collections.abc import Iterable

from colotrace_coordinator.colos.known import ColoFacts
from colotrace_proto.messages import ColoName


class VolatileMemory:
    """A `PersistentColos` that lasts as long as the process. It begins with colos of these cities,
    without tags."""

    def __init__(self, colos: Iterable[tuple[ColoName, str]] = ()) -> None:
        self._colos = {colo: ColoFacts(city) for colo, city in colos}

    def all(self) -> list[tuple[ColoName, ColoFacts]]:
        """What has been remembered so far."""
        return list(self._colos.items())

    def remember(self, name: ColoName, facts: ColoFacts) -> None:
        """Keep the colo."""
        self._colos[name] = facts

    def forget(self, name: ColoName) -> None:
        """Keep it no longer."""
        self._colos.pop(name, None)
