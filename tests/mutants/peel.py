"""Headers taken off one by one by scapy's descriptions of their fields.

Three of scapy's own ways to dissect a whole packet would be wrong for a quote, and are not taken:

- it cuts a quoted packet at the length that its header says, which some hosts quote with its bytes
  swapped or already less the header (BSD);
- it looks for extensions at 128 bytes only, wherever RFC 4884's length says that they are, and
  compares their checksum with the wrong bytes;
- it takes what does not parse for payload, where here it is no answer at all.
"""

from scapy.layers.inet import ICMP, IP, ICMPExtension_Header
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import GRE
from scapy.packet import Packet
from scapy.utils import checksum

Fields = tuple[tuple[int, ...], int | None, bytes]
"""Flow, number (None where it is not shown), and payload as far as it is shown."""

_ICMP, _ICMP6 = 1, 58
_LEAST_PADDED = 128


def peel(layer: type[Packet], data: bytes) -> tuple[Packet, bytes]:
    """Return the header at the front of the data, and what is behind it.

    Raises:
        struct.error, IndexError: the data ends within it, or its own length cannot be.
    """
    if layer is IP and data[0] & 15 < 5:
        raise IndexError("an IPv4 header of less than 20 bytes")
    header = layer()
    behind = header.do_dissect(data)
    return header, behind


def tag_of(payload: bytes) -> bytes | None:
    """Return the tag in a payload; zeros stand where a router has filled it up."""
    tag = payload[2:10]
    return tag if len(tag) == 8 and any(tag) else None


def cut_of(payload: bytes) -> bytes:
    """Return what is left of the keyed bytes where they end, or zeros follow, before their end."""
    left = payload[:10].rstrip(b"\0")
    return left if len(left) < 10 else b""


def echo_of(message: bytes, *, four: bool) -> Fields | None:
    """Return what an echo request shows; None for any other message."""
    if four:
        request, payload = peel(ICMP, message)
    else:
        request, _ = peel(ICMPv6EchoRequest, message)
        payload = request.data
    if (request.type, request.code) != ((8, 0) if four else (128, 0)):
        return None
    return (request.id,), request.seq, payload


def keyed_of(packet: bytes) -> Fields | None:
    """Return what a GRE probe shows: its key, and what is in the echo request inside, if shown.

    Where the inside is cut within its headers, filled up with zeros or not, the key is all.
    """
    tunnel, inner = peel(GRE, packet)
    if is_odd(tunnel) or tunnel.chksum_present or tunnel.seqnum_present or not tunnel.key_present:
        return None
    if tunnel.proto not in {0x0800, 0x86DD}:
        return None
    key, four = (tunnel.key,), tunnel.proto == 0x0800
    if len(inner.rstrip(b"\0")) < (20 if four else 40):
        return key, None, b""
    header, echo = peel(IP if four else IPv6, inner)
    if header.version != (4 if four else 6):
        return None
    if four and (header.frag or header.proto != _ICMP):
        return None
    if not four and header.nh != _ICMP6:
        return None
    length = header.len - 4 * header.ihl if four else header.plen
    echo = echo[: max(length, 0)]
    if len(echo) < 8 or not any(echo[:8]):
        return key, None, b""
    fields = echo_of(echo, four=four)
    if fields is None or fields[0] != (tunnel.key & 0xFFFF,):
        return None
    return key, fields[1], fields[2]


def is_odd(tunnel: Packet) -> bool:
    """Whether a GRE header has more than checksum, key and sequence (RFC 2784, RFC 2890)."""
    bits = (tunnel.routing_present, tunnel.strict_route_source, tunnel.recursion_control)
    return any(bits) or bool(tunnel.flags or tunnel.version)


def quote_in(behind: bytes, stated: int) -> tuple[bytes, bool]:
    """Return the quoted packet in what is behind an ICMP error's header, where `stated` is the
    length it says (0: nothing), and whether it may be filled up with zeros (RFC 4884)."""
    for length in (stated, _LEAST_PADDED):
        if length and _is_extension(behind[length:]):
            return behind[:length], True
    if stated >= _LEAST_PADDED:
        behind = behind[:stated]
    return behind, bool(stated)


def shown(quote: bytes, header: int) -> bytes:
    """Return what a quote that may be filled up shows behind its IP header: zeros at the end are
    no bytes of the probe, but for those in the last word and in the 8 bytes that there always
    are."""
    end = len(quote.rstrip(b"\0"))
    end += -end % 4
    return quote[header : max(end, header + 8)]


def _is_extension(structure: bytes) -> bool:
    if len(structure) < 4:
        return False
    header, _ = peel(ICMPExtension_Header, structure)
    return header.version == 2 and (not header.chksum or not checksum(structure))
