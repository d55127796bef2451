"""Where a registry remembers colos in tests."""

from collections.abc import Iterable

from colotrace_proto.messages import ColoName


class VolatileMemory:
    """A `PersistentColos` that lasts as long as the process."""

    def __init__(self, colos: Iterable[tuple[ColoName, str]] = ()) -> None:
        self._colos = dict(colos)

    def all(self) -> list[tuple[ColoName, str]]:
        """What has been remembered so far."""
        return list(self._colos.items())

    def remember(self, name: ColoName, city: str) -> None:
        """Keep the colo."""
        self._colos[name] = city

    def forget(self, name: ColoName) -> None:
        """Keep it no longer."""
        self._colos.pop(name, None)
