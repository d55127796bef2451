"""Who has which address in a case: given in the file, or assigned from the TTL."""

import functools
import ipaddress
from dataclasses import dataclass

from scenario.schema import Case, Family, Hop, Target

# Addresses that RFC 5737, RFC 2544 and RFC 3849 keep out of the internet.
TARGET = {4: "203.0.113.9", 6: "2001:db8:ffff::9"}
STRANGER = {4: "198.51.100.99", 6: "2001:db8:eeee::99"}


class UnknownNodeError(Exception):
    """A scenario file names a node that is not in it."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one case in one family."""

    prober: str
    target: str
    stranger: str
    # By TTL; the routers beyond the target come after a gap at the target's own TTL.
    routers: dict[int, tuple[str, ...]]

    def named(self, name: str) -> tuple[str, ...]:
        """Return the addresses of a node as scenario files name it (see `schema`)."""
        if name in {"target", "prober", "stranger"}:
            return ({"target": self.target, "prober": self.prober}.get(name, self.stranger),)
        ttl, _, node = name.partition(".")
        try:
            at_ttl = self.routers[int(ttl)]
            return (at_ttl[int(node) - 1],) if node else at_ttl
        except (KeyError, IndexError, ValueError) as error:
            raise UnknownNodeError(f"no node is called {name!r}") from error


def assign(case: Case, *, family: Family) -> Addresses:
    """Give every node of the case its addresses in one family."""
    prober = case.prober.address4 if family == 4 else case.prober.address6
    given = _literal(case.target, family=family)
    plan = Addresses(
        prober=_canonical(prober, family=family),
        target=_canonical(given or TARGET[family], family=family),
        stranger=STRANGER[family],
        routers={},
    )
    after = enumerate(case.after_target, start=case.target_ttl + 1)
    for ttl, hop in (*enumerate(case.hops, start=1), *after):
        plan.routers[ttl] = _of_router(hop, ttl=ttl, family=family, plan=plan)
    return plan


@functools.cache
def packed(address: str) -> bytes:
    """Return the bytes of an address."""
    return ipaddress.ip_address(address).packed


def _of_router(hop: Hop, *, ttl: int, family: Family, plan: Addresses) -> tuple[str, ...]:
    if hop.address is not None:
        return plan.named(hop.address)
    if (given := _literal(hop, family=family)) is not None:
        return (_canonical(given, family=family),)
    if family == 4:
        return tuple(f"198.18.{ttl}.{node}" for node in range(1, hop.width + 1))
    return tuple(
        _canonical(f"2001:db8:{ttl:x}::{node:x}", family=6) for node in range(1, hop.width + 1)
    )


def _literal(node: Hop | Target, *, family: Family) -> str | None:
    return node.address4 if family == 4 else node.address6


def _canonical(text: str, *, family: Family) -> str:
    parse = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    return str(parse(text))
