"""Bounds on open connections: in total, and for each address. Sans-IO.

Each connection has a key: the client's address, or the /64 of an IPv6 client. The key is None for a
trusted proxy, whose connections count in the total only. At a bound, a new connection evicts the
connection that has been idle longest (of the same address, or of all). So clients that hold idle
connections open keep no other client out.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol


class Member(Protocol):
    """What `OpenConnections` needs of a connection."""

    def evict(self) -> None:
        """Close at once."""


@dataclass(slots=True)
class _Address:
    count: int = 0
    idle: OrderedDict[Member, None] = field(default_factory=OrderedDict)


class OpenConnections:
    """The open connections, by key."""

    def __init__(self, *, most: int, most_per_address: int, most_refused: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._most_refused = most_refused
        self._keys: dict[Member, str | None] = {}
        self._addresses: dict[str, _Address] = {}
        self._idle: OrderedDict[Member, None] = OrderedDict()
        self._refused: set[Member] = set()

    def __len__(self) -> int:
        """The number of open connections, without those that are being refused."""
        return len(self._keys) - len(self._refused)

    def members(self) -> list[Member]:
        """All open connections."""
        return list(self._keys)

    def has_room(self, key: str | None) -> bool:
        """Whether one more connection may open. An idle one is evicted if that makes room."""
        address = None if key is None else self._addresses.get(key)
        if address is not None and address.count >= self._most_per_address:
            return self._make_room(address.idle)
        return len(self) < self._most or self.close_an_idle_one()

    def has_room_to_refuse(self) -> bool:
        """Whether an excess connection may stay open for its 503."""
        return len(self._refused) < self._most_refused

    def close_an_idle_one(self) -> bool:
        """Evict the connection that has been idle longest; False if none is idle."""
        return self._make_room(self._idle)

    def enter(self, member: Member, key: str | None, *, refused: bool = False) -> None:
        """Count the connection, which starts idle.

        Refused connections have a bound of their own and are never evicted: evicting one would
        free no place among the others.
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
        """The connection has no unanswered request. With `gives_way` it is the next to be
        evicted."""
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
        """The connection has a request."""
        if member in self._idle:
            del self._idle[member]
            key = self._keys[member]
            if key is not None:
                del self._addresses[key].idle[member]

    def leave(self, member: Member) -> None:
        """The connection has ended."""
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
