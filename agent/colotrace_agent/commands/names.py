"""A cache of the names of the addresses that `trace` shows."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine
from typing import Any

_MOST = 65_536
WAIT_S = 1.0


class Names:
    """An LRU cache of at most `most` addresses, including those without a name."""

    def __init__(
        self, name: Callable[[bytes], Coroutine[Any, Any, str | None]], *, most: int = _MOST
    ) -> None:
        """`name` finds the name of an address, None if it has none."""
        self._name = name
        self._most = most
        self._known: OrderedDict[bytes, str | None] = OrderedDict()

    async def of(self, addresses: Collection[bytes], *, ask: bool = True) -> dict[bytes, str]:
        """The names that are cached or found within a second. Without `ask`, only cached ones."""
        missing = [address for address in addresses if address not in self._known]
        if ask and missing:
            asking = {
                asyncio.create_task(self._name(address), name="name"): address
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
