"""Which probe a received packet answers, as scapy reads it: a second opinion on the agent's.

scapy takes each header apart; what follows from the fields is written down here from
docs/identity.md, and what was sent is known as bytes alone.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from colotrace_proto.messages import PacketType
from scapy.layers.inet import ICMP, IP, TCP, UDP, in4_chksum
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrFragment,
    in6_chksum,
)
from scapy.layers.l2 import GRE
from scapy.packet import Packet
from scapy.utils import checksum

from mutants.peel import Fields, cut_of, echo_of, is_odd, keyed_of, peel, quote_in, shown, tag_of

_ICMP, _TCP, _UDP, _GRE, _ICMP6 = 1, 6, 17, 47, 58
_NUMBERS = {PacketType.UDP: _UDP, PacketType.TCP: _TCP, PacketType.GRE: _GRE}
_ERRORS6 = {
    1: ICMPv6DestUnreach,
    2: ICMPv6PacketTooBig,
    3: ICMPv6TimeExceeded,
    4: ICMPv6ParamProblem,
}
# RFC 8200 section 4, RFC 4302 section 2.2: the length of each extension header.
_CHAINED = {
    **dict.fromkeys((0, 43, 60, 135, 139, 140), lambda length: 8 * (length + 1)),
    44: lambda _: 8,
    51: lambda length: 4 * (length + 2),
}
_MOST_CHAINED = 16
_RST, _SYN, _ACK = 0x04, 0x02, 0x10


@dataclass(frozen=True, slots=True)
class Sent:
    """The identity fields of a probe, as it left; None and empty where its type has none."""

    ip_id: int | None
    flow: tuple[int, ...]
    number: int
    payload: bytes
    transport: bytes

    @property
    def tag(self) -> bytes:
        """The tag in the payload; empty where there is none."""
        return self.payload[2:10]


class Judge:
    """Judges packets that arrive at the sender of these probes, of one flow."""

    def __init__(self, packet_type: PacketType, probes: list[bytes]) -> None:
        self._type = packet_type
        self._four = probes[0][0] >> 4 == 4
        first, _ = peel(IP if self._four else IPv6, probes[0])
        self._source, self._target = first.src, first.dst
        self._sent = [self._dissected(probe) for probe in probes]

    def names(self, packet: bytes) -> int | None:
        """Return the ordinal of the probe that the whole packet answers, None for none."""
        try:
            return self._names(packet)
        except (struct.error, IndexError):  # it ends within a header
            return None

    def _names(self, packet: bytes) -> int | None:
        outer, behind = peel(IP if self._four else IPv6, packet)
        protocol = outer.proto if self._four else outer.nh
        if protocol == _ICMP:
            return self._icmp(outer, behind)
        if protocol == _ICMP6:
            return self._icmp6(outer, behind)
        if protocol == _TCP:
            return self._segment(behind)
        if protocol == _UDP:
            datagram, _ = peel(UDP, behind)
            ports = (datagram.dport, datagram.sport)
            return self._only(outer.src == self._target and ports == self._sent[0].flow)
        return self._tunnelled(outer, behind)

    def _icmp(self, outer: Packet, message: bytes) -> int | None:
        icmp, behind = peel(ICMP, message)
        # Where it is wrong, what verifies counts, and nothing else.
        intact = not checksum(message)
        if icmp.type == 0:
            return self._echoed(icmp.id, icmp.seq, behind)
        if icmp.type not in {3, 11, 12} or (icmp.type, icmp.code) == (11, 1):
            return None
        if self._own_hosts(outer, expired=icmp.type == 11):
            return None
        return self._quoted4(quote_in(behind, 4 * icmp.length), intact=intact)

    def _icmp6(self, outer: Packet, message: bytes) -> int | None:
        kind, code = message[0], message[1]
        if kind == 129:
            reply, _ = peel(ICMPv6EchoReply, message)
            return self._echoed(reply.id, reply.seq, reply.data)
        if kind not in _ERRORS6 or (kind, code) == (3, 1):
            return None
        if self._own_hosts(outer, expired=kind == 3):
            return None
        error, behind = peel(_ERRORS6[kind], message)
        # The agent is not told where a message went to: an error went to the quoted source.
        quoted, _ = peel(IPv6, behind)
        ends = IPv6(src=outer.src, dst=quoted.src, nh=_ICMP6)
        intact = not in6_chksum(_ICMP6, ends, message)
        if kind in {2, 4}:  # no room for a length, and so no extensions
            return self._quoted6((behind, False), intact=intact)
        return self._quoted6(quote_in(behind, 8 * error.length), intact=intact)

    def _own_hosts(self, outer: Packet, *, expired: bool) -> bool:
        """Whether the sender's own kernel says that it could not send: no reply of a network's."""
        return bool(outer.src == self._source != self._target and not expired)

    def _quoted4(self, quote: tuple[bytes, bool], *, intact: bool) -> int | None:
        data, padded = quote
        header, transport = peel(IP, data)
        # Flags and offset may be quoted with their bytes swapped.
        fragment = int(header.flags) << 13 | header.frag
        swapped = int.from_bytes(fragment.to_bytes(2), "little")
        if fragment & 0x1FFF and swapped & 0x1FFF:
            return None
        if header.version != 4:
            return None
        if padded:
            transport = shown(data, 4 * header.ihl)
        return self._quoted(header, header.proto, transport, intact=intact)

    def _quoted6(self, quote: tuple[bytes, bool], *, intact: bool) -> int | None:
        data, padded = quote
        header, transport = peel(IPv6, data)
        if header.version != 6:
            return None
        protocol, at = header.nh, 40
        for _ in range(_MOST_CHAINED):
            if protocol not in _CHAINED:
                break
            if protocol == 44:
                fragment, _ = peel(IPv6ExtHdrFragment, data[at:])
                if fragment.offset:
                    return None
            if len(data) < at + 8:
                return None
            protocol, at = data[at], at + _CHAINED[protocol](data[at + 1])
        if protocol in _CHAINED:
            return None
        transport = shown(data, at) if padded else data[at:]
        return self._quoted(header, protocol, transport, intact=intact)

    def _quoted(
        self, header: Packet, protocol: int, transport: bytes, *, intact: bool
    ) -> int | None:
        """The identity of a quoted probe, from its transport header on."""
        icmp = _ICMP if self._four else _ICMP6
        if len(transport) < 8:
            return None
        own = self._sent[0].flow
        # What was in a GRE probe, from beyond a tunnel's end, has half of the key.
        inner = self._type is PacketType.GRE and protocol == icmp
        if inner:
            own, fields = (own[0] & 0xFFFF,), echo_of(transport, four=self._four)
        elif protocol == _NUMBERS.get(self._type, icmp):
            fields = self._fields(transport)
        else:
            return None
        if fields is None:
            return None
        flow, number, payload = fields
        whole = header.dst == self._target and flow == own
        # A translator leaves one side as it was, or nothing but the tag tells the probe.
        far = header.dst == self._target and flow[1:] == own[1:]
        near = header.src == self._source and flow[0] == own[0]
        if not (far or near):
            return self._tagged(tag_of(payload))
        found = self._by_payload(number, payload, header=header, flow=flow)
        if found is not None or tag_of(payload) is not None:
            return found
        if self._type is PacketType.TCP:
            return self._first(sent.number == number for sent in self._sent)
        ip_id = header.id if self._four else 0
        if self._type is PacketType.GRE:
            if inner or not intact or flow != own:
                return None
            if not ip_id:
                return self._only(whole)
            return self._first(sent.ip_id == ip_id for sent in self._sent)
        if not ip_id or number is None:
            return None
        swapped = int.from_bytes(ip_id.to_bytes(2), "little")
        readings = {ip_id, swapped, ip_id - 1, ip_id + 1}
        return self._first(
            number in self._numbers(sent, header, flow) and sent.ip_id in readings
            for sent in self._sent
        )

    def _by_payload(
        self,
        number: int | None,
        payload: bytes,
        *,
        header: Packet | None = None,
        flow: tuple[int, ...] = (),
    ) -> int | None:
        """The probe that the tag tells, or the number and two keyed bytes and more."""
        found = self._tagged(tag_of(payload))
        if found is not None or self._type is PacketType.TCP:
            return found
        # The bytes in front of a datagram's tag depend on what translators change.
        unkeyed = 2 if self._type is PacketType.UDP else 0
        shown = cut_of(payload)[unkeyed:]
        if len(shown) < 2:
            return None
        return self._first(
            number in self._numbers(sent, header, flow)
            and sent.payload[unkeyed : unkeyed + len(shown)] == shown
            for sent in self._sent
        )

    def _numbers(self, sent: Sent, header: Packet | None, flow: tuple[int, ...]) -> set[int]:
        """The probe's number, and what it is with the quoted addresses and ports: a checksum covers
        those."""
        if self._type is not PacketType.UDP or header is None:
            return {sent.number}
        ports = b"".join(port.to_bytes(2) for port in flow)
        blank = ports + sent.transport[4:6] + b"\0\0" + sent.transport[8:]
        if self._four:
            total = in4_chksum(_UDP, IP(src=header.src, dst=header.dst), blank)
        else:
            total = in6_chksum(_UDP, IPv6(src=header.src, dst=header.dst), blank)
        return {sent.number, total or 0xFFFF}

    def _fields(self, transport: bytes) -> Fields | None:
        """Flow, number and tag that a probe's transport shows; None where it is no probe's."""
        if self._type is PacketType.ICMP:
            return echo_of(transport, four=self._four)
        if self._type is PacketType.UDP:
            datagram, payload = peel(UDP, transport)
            return (datagram.sport, datagram.dport), datagram.chksum or None, payload
        if self._type is PacketType.TCP:
            segment, _ = peel(TCP, transport[:20].ljust(20, b"\0"))  # 8 bytes may be all
            return (segment.sport, segment.dport), segment.seq, b""
        return keyed_of(transport)

    def _dissected(self, probe: bytes) -> Sent:
        header, transport = peel(IP if self._four else IPv6, probe)
        fields = self._fields(transport)
        assert fields is not None
        flow, number, payload = fields
        return Sent(header.id if self._four else None, flow, number or 0, payload[:10], transport)

    def _echoed(self, identifier: int, sequence: int, payload: bytes) -> int | None:
        """From whatever address of the target's."""
        if self._type not in (PacketType.ICMP, PacketType.GRE):
            return None
        same = identifier == self._sent[0].flow[0] & 0xFFFF
        return self._by_payload(sequence, payload) if same else None

    def _segment(self, data: bytes) -> int | None:
        segment, _ = peel(TCP, data[:20])  # its options say nothing
        flags = int(segment.flags)
        if self._type is not PacketType.TCP or segment.dport != self._sent[0].flow[0]:
            return None
        if not (flags & _RST or flags & (_SYN | _ACK) == _SYN | _ACK):
            return None
        if not flags & _ACK and not segment.ack:
            return None
        # Some stacks acknowledge the SYN's own number.
        return self._first((segment.ack - sent.number) % 2**32 in {0, 1} for sent in self._sent)

    def _tunnelled(self, outer: Packet, data: bytes) -> int | None:
        """An echo reply inside of GRE, where the tunnel's own key is none of ours; or a probe as it
        left, which arrived at its own host."""
        tunnel, inner = peel(GRE, data)
        if is_odd(tunnel) or tunnel.proto not in {0x0800, 0x86DD}:
            return None
        if tunnel.chksum_present and checksum(data):
            return None
        four = tunnel.proto == 0x0800
        header, echo = peel(IP if four else IPv6, inner)
        if header.version != (4 if four else 6):
            return None
        length = header.len - 4 * header.ihl if four else header.plen
        if length < 8 or length > len(echo):
            return None
        echo = echo[:length]
        if echo[0] == (8 if four else 128):
            fields = self._fields(data) if self._type is PacketType.GRE else None
            same = fields is not None and fields[0] == self._sent[0].flow
            own = same and header.src == outer.src
            return self._tagged(tag_of(fields[2])) if own else None
        if four:
            if header.frag or header.proto != _ICMP:
                return None
            reply, payload = peel(ICMP, echo)
            kind = reply.type == 0
        else:
            if header.nh != _ICMP6:
                return None
            reply, _ = peel(ICMPv6EchoReply, echo)
            kind, payload = reply.type == 129, reply.data
        return self._echoed(reply.id, reply.seq, payload) if kind else None

    def _tagged(self, tag: bytes | None) -> int | None:
        return None if tag is None else self._first(sent.tag == tag for sent in self._sent)

    def _only(self, right: bool) -> int | None:
        """The probe of an answer that names none, if there is but one."""
        return 0 if right and len(self._sent) == 1 else None

    @staticmethod
    def _first(found: Iterable[bool]) -> int | None:
        return next((at for at, yes in enumerate(found) if yes), None)
