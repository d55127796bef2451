"""What happens to a true reply: bits, bytes, fields, lengths, options, extensions, other replies.

Each mutation takes a packet and gives another, of any length. Most mutants are then put right where
a length or checksum would give them away at once, for what lies behind those checks to be tried.
"""

import random
from collections.abc import Callable, Sequence

from scenario import wire

from mutants.layout import behind_outer, error_at, places, quote_at, transport_in_quote

Mutate = Callable[[bytearray, random.Random, Sequence[bytes]], bytearray]

_OPTIONS = (bytes(4), b"\1\1\1\1", bytes.fromhex("94040000"), bytes.fromhex("83070400000000ff"))
_CHAINED = (0, 43, 60, 44, 51)
_STRUCTURES = (
    bytes.fromhex("2000000000080101000ff103"),  # without a checksum: one MPLS label
    bytes.fromhex("20000000"),
    bytes.fromhex("2000dfff"),
    bytes.fromhex("200000000004010100000000ffff0101"),
)


def bits(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """A few bits turn."""
    for _ in range(rng.randint(1, 4)):
        packet[_place(packet, rng)] ^= 1 << rng.randrange(8)
    return packet


def byte(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """A byte becomes another."""
    packet[_place(packet, rng)] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
    return packet


def field(packet: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    """A field gets a value of interest: an end of its range, a neighbour, another reply's."""
    found = places(packet)
    if not found:
        return packet
    at, size = rng.choice(found)
    old, top = int.from_bytes(packet[at : at + size]), 256**size - 1
    other = int.from_bytes(rng.choice(others)[at : at + size])
    swapped = int.from_bytes(packet[at : at + size], "little")
    values = (0, 1, top, old + 1, old - 1, old + 2, swapped, other, other, rng.randint(0, top))
    packet[at : at + size] = (rng.choice(values) & top).to_bytes(size)
    return packet


def cut(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """The end is missing."""
    return packet[: rng.randrange(len(packet))]


def tail(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """Something follows."""
    count = rng.choice((1, 4, 8, rng.randrange(200)))
    return packet + rng.choice((bytes(count), rng.randbytes(count), *_STRUCTURES))


def swap(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """Two pieces change places."""
    size = rng.choice((1, 2, 2, 4, 8))
    one, two = _place(packet, rng), _place(packet, rng)
    first, second = packet[one : one + size], packet[two : two + size]
    if len(first) == len(second) == size and abs(one - two) >= size:
        packet[one : one + size], packet[two : two + size] = second, first
    return packet


def splice(packet: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytearray:
    """A piece of another reply, at its own place or as the whole rest."""
    other = rng.choice(others)
    start = _place(packet, rng)
    if rng.random() < 0.5:
        return packet[:start] + other[start:]
    end = start + rng.choice((1, 2, 4, 8, 10, 20))
    packet[start:end] = other[start:end]
    return packet


def options(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """A header gains options or an extension header, the outer one or the quoted; its lengths say
    so or not."""
    quote = quote_at(packet)
    start = quote if quote is not None and rng.random() < 0.8 else 0
    if len(packet) < start + 40:
        return packet
    if packet[0] >> 4 == 4:
        new = rng.choice(_OPTIONS)
        at = start + 20
        if rng.random() < 0.8:
            packet[start] = packet[start] & 0xF0 | (packet[start] + len(new) // 4) & 0x0F
        return packet[:at] + new + packet[at:]
    at, units = start + 40, rng.choice((0, 0, 1, 3, 255))
    new = bytes([packet[start + 6], units]) + rng.randbytes(6 + 8 * min(units, 4))
    if rng.random() < 0.9:
        packet[start + 6] = rng.choice(_CHAINED)
    return packet[:at] + new + packet[at:]


def extension(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """Extensions are damaged, behind a checksum that is right, absent or wrong; or appear."""
    quote = quote_at(packet)
    if quote is None:
        return packet
    at = quote + 128
    if len(packet) <= at + 4:
        length = rng.choice((32, 16, 8, 7, 9, 10, 5, 0, 255))
        packet[quote - 3 if packet[0] >> 4 == 4 else quote - 4] = length
        return packet[: quote + 128].ljust(quote + 4 * length, b"\0") + rng.choice(_STRUCTURES)
    for _ in range(rng.randint(1, 4)):
        packet[rng.randrange(at, len(packet))] = rng.choice((0, 1, 4, 8, 0xFF, rng.randrange(256)))
    packet[at] = packet[at] & 0x0F | 0x20
    packet[at + 2 : at + 4] = b"\0\0"
    if rng.random() < 0.6:
        packet[at + 2 : at + 4] = wire.checksum(bytes(packet[at:])).to_bytes(2)
    return packet


def length(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """The length of the quote (RFC 4884) is another."""
    quote = quote_at(packet)
    if quote is not None:
        at = quote - 3 if packet[0] >> 4 == 4 else quote - 4
        packet[at] = rng.choice((0, 1, 5, 7, 8, 16, 17, 31, 32, 33, 255, rng.randrange(256)))
    return packet


def own_source(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """The packet comes from the prober itself, or the quoted one from a neighbour of it."""
    quote = quote_at(packet)
    if packet[0] >> 4 == 4:
        packet[12:16] = packet[16:20]
    else:
        packet[8:24] = packet[24:40]
    if quote is not None and rng.random() < 0.5:
        packet[quote + 15 if packet[0] >> 4 == 4 else quote + 23] ^= rng.randrange(256)
    return packet


def zeros(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """A router fills with zeros what it does not quote."""
    quote = quote_at(packet)
    start = quote + 20 if quote is not None else behind_outer(packet) + 4
    at = rng.randrange(min(start, len(packet)), len(packet) + 1)
    end = rng.choice((len(packet), at + 2, at + 8))
    packet[at:end] = bytes(len(packet[at:end]))
    return packet


def unwrapped(packet: bytearray, rng: random.Random, _others: Sequence[bytes]) -> bytearray:
    """The quote is of what was inside of a GRE probe, as from beyond a tunnel's end; or of that
    with the outer identification, as nobody quotes it."""
    quote = quote_at(packet)
    if quote is None:
        return packet
    at = transport_in_quote(packet, quote) + 8
    if len(packet) < at + 28:
        return packet
    inner = packet[at:]
    if rng.random() < 0.5:
        inner[4:6] = packet[quote + 4 : quote + 6]
    return packet[:quote] + (inner if rng.random() < 0.5 else inner[:28])


MUTATIONS: tuple[Mutate, ...] = (
    *(bits, byte, field, field, field, cut, tail, swap, splice, splice),
    *(options, extension, length, own_source, zeros, unwrapped),
)


def mutant(
    replies: Sequence[bytes], rng: random.Random, *, strangers: Sequence[bytes]
) -> tuple[bytes, str]:
    """Return a mutant of one of the replies, and the names of what was done to it.

    Others of them, and those of other kinds (`strangers`), lend it pieces.
    """
    packet = bytearray(rng.choice(replies))
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if len(packet) < 8:
            break
        mutate = rng.choice(MUTATIONS)
        lenders = strangers if rng.random() < 0.1 else replies
        packet = mutate(packet, rng, lenders)
        names.append(mutate.__name__)
    return bytes(_put_right(packet, rng)), "+".join(names)


def _place(packet: bytearray, rng: random.Random) -> int:
    """Mostly behind the outer header, where what counts is."""
    start = behind_outer(packet) if rng.random() < 0.9 else 0
    return rng.randrange(min(start, len(packet) - 1), len(packet))


def _put_right(packet: bytearray, rng: random.Random) -> bytearray:
    """Lengths and checksums as they should be, mostly."""
    start = behind_outer(packet)
    four = packet[0] >> 4 == 4 if packet else True
    if len(packet) < start + 8 or rng.random() < 0.05:
        return packet
    if packet[9 if four else 6] == wire.GRE and rng.random() < 0.8:
        _put_inner_right(packet, start)
    if four:
        if error_at(packet) is not None or packet[9] == wire.ICMP:
            packet[start + 2 : start + 4] = b"\0\0"
            packet[start + 2 : start + 4] = wire.checksum(bytes(packet[start:])).to_bytes(2)
        packet[2:4] = (len(packet) & 0xFFFF).to_bytes(2)
        packet[:start] = wire.with_header_checksum(bytes(packet[:start]))
        return packet
    packet[4:6] = ((len(packet) - 40) & 0xFFFF).to_bytes(2)
    if packet[6] == wire.ICMP6:
        _sum6(packet, 0)
    return packet


def _put_inner_right(packet: bytearray, start: int) -> None:
    """The checksum of the ICMP message inside of a GRE packet with a key."""
    inner = start + 8
    if packet[inner : inner + 1] == b"\x45" and len(packet) >= inner + 28:
        echo = inner + 20
        packet[echo + 2 : echo + 4] = b"\0\0"
        packet[echo + 2 : echo + 4] = wire.checksum(bytes(packet[echo:])).to_bytes(2)
    elif len(packet) >= inner + 48:
        _sum6(packet, inner)


def _sum6(packet: bytearray, start: int) -> None:
    """ICMPv6's checksum in the IPv6 packet that starts there."""
    at = start + 40
    ends = bytes(packet[start + 8 : start + 24]), bytes(packet[start + 24 : at])
    packet[at + 2 : at + 4] = b"\0\0"
    pseudo = wire.pseudo_header(*ends, protocol=wire.ICMP6, length=len(packet) - at)
    packet[at + 2 : at + 4] = wire.checksum(pseudo + bytes(packet[at:])).to_bytes(2)
