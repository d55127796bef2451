"""What the tests that drive both engines have in common: addresses, and answers to probes."""

import ipaddress

from colotrace_agent.engine.limits.routers import Limit, Routers

from scenario import answers, tcp, wire
from scenario.kinds import Error, Protocol, TcpAnswer
from scenario.probe import Probe
from scenario.schema import Behaviour, Target

PLAIN = Behaviour()
MS, SECOND = 1_000_000, 1_000_000_000
SECRET = bytes(range(32))
START = 7 * SECOND
RATE = 1e6
"""A rate so high that the budgets shared by all traces never delay a probe."""
TARGETS = {
    4: [ipaddress.ip_address(f"203.0.113.{n}").packed for n in (9, 10, 11)],
    6: [ipaddress.ip_address(f"2001:db8:ffff::{n}").packed for n in (9, 10, 11)],
}
SOURCE = {
    4: ipaddress.ip_address("192.0.2.1").packed,
    6: ipaddress.ip_address("2001:db8::1").packed,
}
STRANGER = {
    4: ipaddress.ip_address("198.51.100.99").packed,
    6: ipaddress.ip_address("2001:db8:eeee::99").packed,
}


def router(family: int, ttl: int) -> bytes:
    """The address of the router at that TTL."""
    text = f"198.18.{ttl}.1" if family == 4 else f"2001:db8:1::{ttl:x}"
    return ipaddress.ip_address(text).packed


class Forgetful(Routers):
    """Learns nothing of routers, but may know one TTL at which answers are limited."""

    def __init__(self, limited: int | None) -> None:
        super().__init__()
        self._limited = limited
        self._limit = Limit(answers=4, now=0)

    @property
    def knows_limits(self) -> bool:
        """Whether it knows one."""
        return self._limited is not None

    def passed(self, path: dict[int, bytes], ttl: int, address: bytes, *, now: int) -> None:
        """Keeps the trace's own path up."""
        del now
        path[ttl] = address

    def count(self, address: bytes, answers: int, *, now: int) -> None:
        """Learns nothing."""

    def limits_of(
        self, target: bytes, *, max_ttl: int, distance: int | None, now: int
    ) -> dict[int, Limit]:
        """The one that it knows."""
        del target, distance, now
        known = self._limited is not None and self._limited <= max_ttl
        return {self._limited: self._limit} if known and self._limited is not None else {}


def echo_or_segment(probe: Probe, how: str, *, source: bytes) -> tuple[int, bytes] | None:
    """A host's answer to a probe, other than an ICMP error: protocol number and payload."""
    match probe.protocol:
        case Protocol.ICMP:
            number = wire.ICMP if probe.family == 4 else wire.ICMP6
            return number, answers.echo_reply(probe, source=source, target=Target())
        case Protocol.UDP:
            return wire.UDP, answers.datagram(probe, source=source)
        case Protocol.TCP if how == "challenge":
            return wire.TCP, answers.challenge(probe, source=source, expected=probe.sequence + 1)
        case Protocol.TCP:
            return wire.TCP, tcp.stateless(TcpAnswer(how), probe, source=source)
        case Protocol.GRE:
            return answers.unpacked_echo_reply(
                probe, in_gre=how == "rst", source=source, target=Target()
            )


def packet(
    probe: Probe, how: str, *, source: bytes, behaviour: Behaviour = PLAIN, ttl: int = 1
) -> bytes:
    """An answer to the probe from that address. `ttl` is what an error's quote has left."""
    found = None
    if how in {"rst-ack", "syn-ack", "rst", "challenge", "rst-bare"}:
        found = echo_or_segment(probe, how, source=source)
    number = wire.ICMP if probe.family == 4 else wire.ICMP6
    if found is None:
        error = answers.icmp_error(
            probe, error=Error(how), source=source, behaviour=behaviour, arriving_ttl=ttl, mtu=1_300
        )
        found = number, error
    build = wire.ip4 if probe.family == 4 else wire.ip6
    return build(source, probe.source, protocol=found[0], payload=found[1])
