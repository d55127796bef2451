"""A cache of the names of the addresses that `trace` shows."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from typing import Protocol

_MOST = 65_536
WAIT_S = 1.0


class NameSource(Protocol):
    """A resolver of addresses."""

    async def name(self, address: bytes) -> str | None:
        """The address's name; None if it has none."""


class Names:
    """An LRU cache of at most `most` addresses, including those without a name."""

    def __init__(self, source: NameSource, *, most: int = _MOST) -> None:
        self._source = source
        self._most = most
        self._known: OrderedDict[bytes, str | None] = OrderedDict()

    async def of(self, addresses: Collection[bytes], *, ask: bool = True) -> dict[bytes, str]:
        """The names that are cached or found within a second. Without `ask`, only cached ones."""
        missing = [address for address in addresses if address not in self._known]
        if ask and missing:
            asking = {
                asyncio.create_task(self._source.name(address), name="name"): address
                for address in missing
            }
            done, late = await asyncio.wait(asking, timeout=WAIT_S)
            for task in late:
                task.cancel()
            for task in done:
                self._known[asking[task]] = task.result()
        found = {}
        for address in addresses:
            if address in self._known:
                self._known.move_to_end(address)
                name = self._known[address]
                if name:
                    found[address] = name
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return found
