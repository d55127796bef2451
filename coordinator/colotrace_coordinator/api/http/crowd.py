"""How many connections may be open: in all, and from one address. Sans-IO.

Each connection has a key: its client's address, an IPv6 client's /64, or None for a proxy that is
trusted, whose connections count in all alone. At a bound a new connection takes the place of the
one that has been idle for longest (of the same address, or of all), so that those who hold
connections open without a request keep nobody out.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol


class Member(Protocol):
    """A connection, as far as it is counted."""

    def evict(self) -> None:
        """Close at once."""


@dataclass(slots=True)
class _Address:
    count: int = 0
    idle: OrderedDict[Member, None] = field(default_factory=OrderedDict)


class Crowd:
    """The connections that are open, by the key of their clients."""

    def __init__(self, *, most: int, most_per_address: int, most_refused: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._most_refused = most_refused
        self._keys: dict[Member, str | None] = {}
        self._addresses: dict[str, _Address] = {}
        self._idle: OrderedDict[Member, None] = OrderedDict()
        self._refused: set[Member] = set()

    def __len__(self) -> int:
        """How many are open, without those that are refused."""
        return len(self._keys) - len(self._refused)

    def members(self) -> list[Member]:
        """All that are open."""
        return list(self._keys)

    def has_room(self, key: str | None) -> bool:
        """Whether one more may open; room is made for it by closing an idle one."""
        address = None if key is None else self._addresses.get(key)
        if address is not None and address.count >= self._most_per_address:
            return self._make_room(address.idle)
        return len(self) < self._most or self.close_an_idle_one()

    def has_room_to_refuse(self) -> bool:
        """Whether one that is too many may stay for the answer that says so."""
        return len(self._refused) < self._most_refused

    def close_an_idle_one(self) -> bool:
        """Close the one that has been idle for longest; False if none is idle."""
        return self._make_room(self._idle)

    def enter(self, member: Member, key: str | None, *, refused: bool = False) -> None:
        """Count the connection, which begins idle.

        A refused one has a bound of its own, and never gives way: else it would make room beyond
        the others' bounds.
        """
        if refused:
            self._keys[member] = None
            self._refused.add(member)
            return
        self._keys[member] = key
        if key is not None:
            self._addresses.setdefault(key, _Address()).count += 1
        self.idle(member)

    def idle(self, member: Member, *, gives_way: bool = False) -> None:
        """Note that the connection has no request that waits for its answer; `gives_way` if it
        is to be closed before those that have been idle for longer."""
        if member not in self._keys or member in self._refused:
            return
        key = self._keys[member]
        of_address = None if key is None else self._addresses[key].idle
        for idle in (self._idle, of_address):
            if idle is not None:
                idle[member] = None
                if gives_way:
                    idle.move_to_end(member, last=False)

    def busy(self, member: Member) -> None:
        """Note that the connection has a request."""
        if member in self._idle:
            del self._idle[member]
            key = self._keys[member]
            if key is not None:
                del self._addresses[key].idle[member]

    def leave(self, member: Member) -> None:
        """Count the connection no longer."""
        if member not in self._keys:
            return
        self.busy(member)
        self._refused.discard(member)
        key = self._keys.pop(member)
        if key is not None:
            address = self._addresses[key]
            address.count -= 1
            if not address.count:
                del self._addresses[key]

    def _make_room(self, idle: OrderedDict[Member, None]) -> bool:
        if not idle:
            return False
        member = next(iter(idle))
        self.leave(member)
        member.evict()
        return True
