"""Forged replies to traces under way, sent to the prober's raw sockets from every address there is.

Run inside a `scenario.tun.TunWorld` as `python -m forgery.flood`. The first line of its input is
JSON: one packet of each flow, of which the forger is taken to know all but what is keyed. Each line
after it, `all N` or `errors N`, has N packets sent, and is answered by their number.
"""

import json
import random
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from scenario import wire
from scenario.answers import datagram as datagram_back
from scenario.answers import echo_reply, icmp_error, segment, unpacked_echo_reply
from scenario.kinds import Error, Protocol
from scenario.probe import ACK, RST, SYN, Probe, dissect
from scenario.schema import Behaviour

READY = "ready"
# Whose the spoofed sources are: 198.18.0.0/15's half, and a /64.
_ROUTER = {4: bytes([198, 18, 77, 1]), 6: bytes.fromhex("20010db8007700000000000000000001")}
_SOURCE_BITS = {4: (14, 2), 6: (16, 8)}
_SOURCE = {4: slice(12, 16), 6: slice(8, 24)}
_DESTINATION = {4: slice(16, 20), 6: slice(24, 40)}
_HEADER = {4: 20, 6: 40}
# Where the keyed fields lie behind the transport header's beginning: offset, bytes.
_KEYED = {
    Protocol.ICMP: ((6, 12),),
    Protocol.UDP: ((6, 12),),
    Protocol.TCP: ((4, 4),),
}
_FLOW = {Protocol.ICMP: (4, 2), Protocol.UDP: (0, 2), Protocol.TCP: (0, 2), Protocol.GRE: (4, 4)}


@dataclass(frozen=True, slots=True)
class Forgery:
    """A packet that is right but for the places that are drawn anew each time: offset, bytes."""

    packet: bytes
    drawn: tuple[tuple[int, int], ...]
    quotes: bool

    def made(self, rng: random.Random) -> bytes:
        """One of them, its checksum right where the host looks at it."""
        packet = bytearray(self.packet)
        for at, size in self.drawn:
            packet[at : at + size] = rng.randbytes(size)
        family = packet[0] >> 4
        start = _HEADER[family]
        number = packet[9] if family == 4 else packet[6]
        if number in {wire.ICMP, wire.ICMP6}:
            covered = bytes(packet[start : start + 2] + b"\0\0" + packet[start + 4 :])
            if family == 6:
                ends = bytes(packet[_SOURCE[6]]), bytes(packet[_DESTINATION[6]])
                length = len(packet) - start
                covered = wire.pseudo_header(*ends, protocol=number, length=length) + covered
            packet[start + 2 : start + 4] = wire.checksum(covered).to_bytes(2)
        return bytes(packet)


def forgeries(probe: Probe) -> Iterator[Forgery]:
    """All that can be forged of one flow, each kind once."""
    header, keyed = _HEADER[probe.family], _keyed(probe)
    quote = header + 8
    transport = quote + header
    identification = ((quote + 4, 2),) if probe.family == 4 else ()
    for error in (Error.TIME_EXCEEDED, Error.PORT_UNREACHABLE, Error.ADMIN_PROHIBITED):
        whole = _error(probe, error=error)
        # Another probe of the flow; another flow; the same flow to somebody else.
        yield Forgery(whole, (*_moved(keyed, transport), *identification, _spoofed(probe)), True)
        if probe.protocol is Protocol.GRE:
            short = bytearray(_error(probe, error=error, quoted=8))
            shown = _moved((_FLOW[Protocol.GRE],), transport)
            yield Forgery(bytes(short), (*shown, *identification), True)
            # The key is known: a quote of it alone would do, if the identification were guessed.
            if probe.family == 4:
                short[quote + 4 : quote + 6] = b"\0\0"
            yield Forgery(bytes(short), (_spoofed(probe),), True)
        else:
            flow = (_FLOW[probe.protocol], *keyed)
            yield Forgery(whole, (*_moved(flow, transport), *identification), True)
            short = bytearray(_error(probe, error=error, quoted=8))
            shown = _moved(_KEYED[probe.protocol], transport)
            yield Forgery(bytes(short), (*_within(shown, len(short)), *identification), True)
        last = _DESTINATION[probe.family].stop - 2
        elsewhere = ((quote + last, 2), *_moved(keyed, transport), *identification)
        yield Forgery(whole, (*elsewhere, _spoofed(probe)), True)
    yield from _answers(probe)


def _answers(probe: Probe) -> Iterator[Forgery]:
    """What the target itself could have said: in its name, and in anybody's."""
    start, target = _HEADER[probe.family], probe.destination
    number = {4: wire.ICMP, 6: wire.ICMP6}[probe.family]
    packets: list[tuple[bytes, tuple[tuple[int, int], ...]]] = []
    if probe.protocol is Protocol.ICMP:
        packets = [(_packet(probe, number, echo_reply(probe, source=target)), ((6, 12),))]
    elif probe.protocol is Protocol.UDP:
        packets = [(_packet(probe, wire.UDP, datagram_back(probe, source=target)), ())]
    elif probe.protocol is Protocol.TCP:
        for flags in (SYN | ACK, RST | ACK, RST, ACK):
            forged = segment(probe, source=target, flags=flags, acknowledged=1)
            packets.append((_packet(probe, wire.TCP, forged), ((8, 4),)))
    else:
        inside, forged = unpacked_echo_reply(probe, in_gre=False)
        packets = [(_packet(probe, inside, forged), ((6, 12),))]
        _, forged = unpacked_echo_reply(probe, in_gre=True)
        packets.append((_packet(probe, wire.GRE, forged), ((8 + start + 6, 12),)))
    for packet, keyed in packets:
        yield Forgery(packet, _moved(keyed, start), False)
        yield Forgery(packet, (*_moved(keyed, start), _spoofed(probe)), False)


def _keyed(probe: Probe) -> tuple[tuple[int, int], ...]:
    """Number and tag, wherever they are in the transport."""
    if probe.protocol is Protocol.GRE:
        return ((8 + _HEADER[probe.family] + 6, 12),)
    return _KEYED[probe.protocol]


def _error(probe: Probe, *, error: Error, quoted: int | None = None) -> bytes:
    behaviour = Behaviour(quote="full" if quoted is None else quoted)
    source = _ROUTER[probe.family]
    message = icmp_error(probe, error=error, source=source, behaviour=behaviour, arriving_ttl=1)
    number = wire.ICMP if probe.family == 4 else wire.ICMP6
    return _packet(probe, number, message, source=source)


def _packet(probe: Probe, number: int, payload: bytes, *, source: bytes | None = None) -> bytes:
    build = wire.ip4 if probe.family == 4 else wire.ip6
    return build(source or probe.destination, probe.source, protocol=number, payload=payload)


def _spoofed(probe: Probe) -> tuple[int, int]:
    return _SOURCE_BITS[probe.family]


def _moved(places: tuple[tuple[int, int], ...], by: int) -> tuple[tuple[int, int], ...]:
    return tuple((at + by, size) for at, size in places)


def _within(places: tuple[tuple[int, int], ...], end: int) -> tuple[tuple[int, int], ...]:
    return tuple((at, min(size, end - at)) for at, size in places)


class Forger:
    """Sends forgeries of all flows in turn."""

    def __init__(self, probes: list[bytes], *, seed: int) -> None:
        self._rng = random.Random(seed)
        self._forgeries = [each for packet in probes for each in forgeries(_probe(packet))]
        self._sockets = {
            4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
        }

    def send(self, packets: int, *, errors: bool) -> None:
        """Sends so many, or so many of the errors over IPv4 alone, which go to one socket."""
        chosen = self._forgeries
        if errors:
            chosen = [each for each in chosen if each.quotes and each.packet[0] >> 4 == 4]
        for place in range(packets):
            packet = chosen[place % len(chosen)].made(self._rng)
            if packet[0] >> 4 == 4:
                self._sockets[4].sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
            else:
                address = socket.inet_ntop(socket.AF_INET6, packet[24:40])
                self._sockets[6].sendto(packet, (address, 0))


def _probe(packet: bytes) -> Probe:
    probe = dissect(packet)
    assert isinstance(probe, Probe)
    return probe


def main() -> None:
    """Obeys its input until that ends."""
    print(READY, flush=True)
    forger = Forger([bytes.fromhex(each) for each in json.loads(sys.stdin.readline())], seed=3)
    for line in sys.stdin:
        word, count = line.split()
        forger.send(int(count), errors=word == "errors")
        print(count, flush=True)


if __name__ == "__main__":
    main()
