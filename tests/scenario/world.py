"""The simulated network: one packet of the prober in, the packets that come back out.

A packet walks the routers of the case until one of them expires, refuses or impersonates, or it
gets to the target. What comes back is shaped by the `schema.Behaviour` of whoever answers. The
world reads no clock and draws no random number: the same packets at the same times give the same
answers, and a choice by flow depends on nothing but the flow.
"""

import errno
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from scenario import answers, tcp, wire
from scenario.addresses import assign, packed
from scenario.forge import forged
from scenario.kinds import (
    Answer,
    Balance,
    Decrement,
    Error,
    GreAnswer,
    LimitScope,
    Protocol,
    RefusedPackets,
    TcpAnswer,
)
from scenario.limits import Bucket
from scenario.probe import RST, Fault, Probe, dissect
from scenario.schema import Behaviour, Case, Family, Hop

_COPY_GAP_NS = 100_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One packet that arrives at the prober at `at_ns`."""

    at_ns: int
    packet: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """One probe as the network saw it: the `ordinal`-th (from 0) of its protocol and TTL."""

    at_ns: int
    ttl: int
    ordinal: int
    protocol: Protocol
    flow: bytes


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a probe ended: a router or the target, and the address that speaks for it."""

    behaviour: Behaviour
    # None: the target.
    hop: Hop | None
    ttl: int
    node: int
    error: Error | None
    # What is left of the probe's TTL.
    left: int


class World:
    """One case in one family. `seen` and `fates` are for tests to read, never to write."""

    def __init__(self, case: Case, *, family: Family) -> None:
        self.case = case
        self.family: Family = family
        self.addresses = assign(case, family=family)
        self.seen: list[Seen] = []
        # Packets by fate: the values of `probe.Fault`, "reset", "elsewhere" (not from the prober
        # to the target), and for probes "answered", "silent", "lost", "limited".
        self.fates: Counter[str] = Counter()
        self._prober = packed(self.addresses.prober)
        self._target = packed(self.addresses.target)
        self._ordinals: Counter[tuple[Protocol, int]] = Counter()
        self._send_ordinals: Counter[tuple[int, int]] = Counter()
        # Packets that came by, by place of the hop.
        self._turns: Counter[int] = Counter()
        self._buckets: dict[tuple[int, int], Bucket] = {}
        self._listener = tcp.Listener()
        self._ident = 0

    def send_error(self, packet: bytes) -> int | None:
        """Return the errno with which the prober's own host refuses the packet, if it does.

        A driver asks once per packet, and delivers only what is not refused.
        """
        ttl, number = (packet[8], packet[9]) if self.family == 4 else (packet[7], packet[6])
        ordinal = self._send_ordinals[number, ttl]
        self._send_ordinals[number, ttl] += 1
        for failure in self.case.send_failures:
            if failure.ttl in {None, ttl} and failure.ordinal in {None, ordinal}:
                return int(getattr(errno, failure.errno))
        return None

    def deliver(self, packet: bytes, now_ns: int) -> list[Delivery]:
        """Return what comes back for one packet that leaves the prober now, in order of arrival."""
        probe = dissect(packet)
        if isinstance(probe, Fault):
            self.fates[probe] += 1
            return []
        if (probe.source, probe.destination) != (self._prober, self._target):
            self.fates["elsewhere"] += 1
            return []
        if probe.protocol is Protocol.TCP and probe.tcp_flags & RST:
            self.fates["reset"] += 1
            self._listener.reset(probe)
            return []
        ordinal = self._ordinals[probe.protocol, probe.ttl]
        self._ordinals[probe.protocol, probe.ttl] += 1
        self.seen.append(Seen(now_ns, probe.ttl, ordinal, probe.protocol, probe.flow))
        spot = self._walk(probe, ordinal=ordinal)
        if isinstance(spot, str):
            self.fates[spot] += 1
            return []
        fate = self._fate(spot, probe, ordinal=ordinal, now_ns=now_ns)
        self.fates[fate] += 1
        if fate not in {"answered", "lost"}:
            return []
        # An answer that gets lost was made: a listener remembers what it was about.
        out = self._answers(spot, probe, ordinal=ordinal, now_ns=now_ns)
        return out if fate == "answered" else []

    def _walk(self, probe: Probe, *, ordinal: int) -> _Spot | str:
        """Return where the probe ends, or its fate where nobody will ever answer it."""
        left, case = probe.ttl, self.case
        if left == 0:
            return "silent"
        chosen: dict[int, int] = {}
        for place, hop in enumerate(case.hops, start=1):
            node = 0
            if hop.width > 1:
                node = self._node(hop, probe, place=place, chosen=chosen)
            chosen[place] = node
            if hop.follows and hop.branch and chosen[hop.follows] != hop.branch - 1:
                continue
            if hop.impersonates and probe.ttl in hop.impersonates:
                return _Spot(hop, hop=None, ttl=place, node=0, error=None, left=left)
            expires = left <= 1 and hop.decrement is Decrement.ONE
            spared = RefusedPackets.PASSING if expires else RefusedPackets.EXPIRING
            error = hop.refuse if hop.refused is not spared else None
            if expires and error is None:
                error = Error.TIME_EXCEEDED
            if error is not None:
                spot = _Spot(hop, hop=hop, ttl=place, node=node, error=error, left=left)
                return "lost" if ordinal in hop.lose_out else spot
            if hop.blackhole:
                return "silent"
            if ordinal in hop.drops:
                return "lost"
            if hop.decrement is not Decrement.NONE:
                left = max(left - 1, 0)
        beyond = left - 2
        if 0 <= beyond < len(case.after_target):
            hop, place = case.after_target[beyond], case.target_ttl + 1 + beyond
            node = self._node(hop, probe, place=place, chosen=chosen)
            return _Spot(hop, hop=hop, ttl=place, node=node, error=Error.TIME_EXCEEDED, left=1)
        target = case.target
        spot = _Spot(target, hop=None, ttl=case.target_ttl, node=0, error=None, left=left)
        return "lost" if ordinal in target.lose_out else spot

    def _node(self, hop: Hop, probe: Probe, *, place: int, chosen: Mapping[int, int]) -> int:
        """Choose among the equal routers of a hop, given those of the hops before."""
        if hop.width == 1:
            return 0
        if hop.follows is not None and self.case.hops[hop.follows - 1].width > 1:
            return chosen[hop.follows] % hop.width
        if hop.balance is Balance.PACKET:
            turn = self._turns[place] // hop.in_a_row
            self._turns[place] += 1
            return turn % hop.width
        # Each router hashes with a seed of its own.
        seed = place.to_bytes(2)
        return int.from_bytes(hashlib.sha256(seed + probe.flow).digest()[:8]) % hop.width

    def _fate(self, spot: _Spot, probe: Probe, *, ordinal: int, now_ns: int) -> str:
        behaviour = spot.behaviour
        if behaviour.silent or probe.protocol in behaviour.silent_to:
            return "silent"
        if spot.hop is not None and spot.node + 1 in spot.hop.silent_nodes:
            return "silent"
        if spot.hop is None and self._target_says_nothing(probe):
            return "silent"
        limit = behaviour.limit
        counted = limit is not None and (
            limit.scope is LimitScope.ALL or self._error(spot, probe) is not None
        )
        if limit is not None and counted:
            bucket = self._buckets.setdefault(
                (spot.ttl, spot.node), Bucket(limit, family=self.family)
            )
            if not bucket.take(now_ns):
                return "limited"
        return "lost" if ordinal in behaviour.lose else "answered"

    def _target_says_nothing(self, probe: Probe) -> bool:
        if probe.protocol is Protocol.GRE:
            # An unpacked request to somebody else, or from somebody else, is none of the target's.
            inner = probe.inner
            theirs = (inner.source, inner.destination) != (self._prober, self._target)
            return self.case.target.gre is GreAnswer.SILENT or theirs
        return self._target_answer(probe).value == Answer.SILENT.value

    def _target_answer(self, probe: Probe) -> Answer | TcpAnswer | GreAnswer:
        target = self.case.target
        match probe.protocol:
            case Protocol.ICMP:
                return target.icmp
            case Protocol.UDP:
                return target.udp
            case Protocol.TCP:
                return self._tcp_answer(probe)
            case Protocol.GRE:
                return target.gre

    def _tcp_answer(self, probe: Probe) -> TcpAnswer:
        return self.case.target.tcp_ports.get(str(probe.ports[1]), self.case.target.tcp)

    def _error(self, spot: _Spot, probe: Probe) -> Error | None:
        """Return the ICMP error that the probe gets, None where it gets an answer proper."""
        if spot.error is not None:
            return spot.error
        word = self._target_answer(probe).value
        return Error(word) if word in set(Error) else None

    def _answers(self, spot: _Spot, probe: Probe, *, ordinal: int, now_ns: int) -> list[Delivery]:
        behaviour = spot.behaviour
        delay_ms = (
            behaviour.rtt_ms
            + behaviour.jitter_ms[ordinal % len(behaviour.jitter_ms)]
            + behaviour.delays_ms.get(str(ordinal), 0.0)
        )
        delay_ns = round(delay_ms * 1e6)
        out: list[Delivery] = []
        if behaviour.forge is not None:
            # It comes first, so that a tracer that believes it shows the wrong RTT as well.
            stranger = forged(probe, forgery=behaviour.forge)
            out.append(Delivery(now_ns + delay_ns // 2, self._answer(spot, stranger)))
        packet = self._answer(spot, probe)
        out.extend(
            Delivery(now_ns + delay_ns + copy * _COPY_GAP_NS, packet)
            for copy in range(behaviour.copies)
        )
        return out

    def _answer(self, spot: _Spot, probe: Probe) -> bytes:
        error = self._error(spot, probe)
        source = self._source(spot, probe, error=error)
        number = wire.ICMP if self.family == 4 else wire.ICMP6
        if error is not None:
            payload = answers.icmp_error(
                probe,
                error=error,
                source=source,
                behaviour=spot.behaviour,
                arriving_ttl=spot.left,
                mtu=spot.hop.mtu if spot.hop is not None else 0,
            )
        elif probe.protocol is Protocol.ICMP:
            payload = answers.echo_reply(probe, source=source, target=self.case.target)
        elif probe.protocol is Protocol.UDP:
            number, payload = wire.UDP, answers.datagram(probe, source=source)
        elif probe.protocol is Protocol.GRE:
            in_gre = self.case.target.gre is GreAnswer.REPLY_IN_GRE
            number, payload = answers.unpacked_echo_reply(
                probe, in_gre=in_gre, source=source, target=self.case.target
            )
        else:
            number, payload = wire.TCP, self._segment(probe, source=source)
        if spot.behaviour.icmp_checksum == "wrong" and number in {wire.ICMP, wire.ICMP6}:
            payload = payload[:2] + bytes([payload[2] ^ 0x5A]) + payload[3:]
        ttl = 65 - spot.ttl
        if self.family == 6:
            return wire.ip6(source, self._prober, protocol=number, payload=payload, ttl=ttl)
        self._ident = self._ident % 0xFFFF + 1
        return wire.ip4(
            source, self._prober, protocol=number, payload=payload, ttl=ttl, ident=self._ident
        )

    def _segment(self, probe: Probe, *, source: bytes) -> bytes:
        answer = self._tcp_answer(probe)
        if answer is TcpAnswer.KERNEL:
            return self._listener.answer(probe, source=source)
        if answer is TcpAnswer.CHALLENGE:
            return self._listener.challenge(probe, source=source)
        return tcp.stateless(answer, probe, source=source)

    def _source(self, spot: _Spot, probe: Probe, *, error: Error | None) -> bytes:
        if spot.hop is not None:
            return packed(self.addresses.routers[spot.ttl][spot.node])
        # A forged answer about another destination comes from there.
        if probe.destination != self._target:
            return probe.destination
        target = self.case.target
        name = target.replies_from if error is None else target.errors_from
        return packed(self.addresses.named(name)[0])
