"""GRE probes as scapy reads them, and their quotes at any length."""

import struct

import pytest
from colotrace_agent.model import AnswerKind, Flow, Heard
from colotrace_agent.packets.decode import decode_icmp, decode_icmp6
from colotrace_agent.packets.format import Quoted
from colotrace_agent.packets.formats import number_of, writer_for
from colotrace_agent.packets.gre import (
    gre_identity,
)
from colotrace_proto.messages import Family
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    in6_chksum,
)
from scapy.layers.l2 import GRE
from scapy.packet import Raw
from scapy.utils import checksum
from unit.agent.packets.gre_flows import (
    CHANGES,
    HEADERS,
    KEY,
    ORDINALS,
    TARGET6,
    US,
    US6,
    addresses,
    flow_of,
    flows,
    quote_of,
)


@given(flows(), ORDINALS, st.integers(1, 64))
def test_probe_has_the_fields_of_its_flow(flow: Flow, ordinal: int, ttl: int) -> None:
    """Both headers, the key and the echo request. Every checksum is right, so that it can be
    answered."""
    packet = bytes(writer_for(flow).write(ordinal, ttl))
    outer = (IP if flow.family is Family.IPV4 else IPv6)(packet)
    gre, inner = outer[GRE], outer[GRE].payload
    assert addresses(outer) == addresses(inner) == (flow.source, flow.target)
    assert (gre.key_present, gre.key) == (1, flow.identifier)
    assert bytes(gre)[:2] == b"\x20\x00"
    echo = inner.payload
    if isinstance(outer, IP):
        assert (outer.proto, outer.ttl, outer.len) == (47, ttl, len(packet))
        assert outer.id == flow.marks.ip_ids[ordinal]
        assert gre.proto == 0x0800
        assert (inner.proto, inner.ttl, inner.len, inner.flags) == (1, 64, len(packet) - 28, "DF")
        assert checksum(bytes(inner)[:20]) == 0
        assert checksum(bytes(echo)) == 0
        assert (type(echo), echo.type, echo.code) == (ICMP, 8, 0)
    else:
        assert (outer.nh, outer.hlim, outer.plen) == (47, ttl, len(packet) - 40)
        assert gre.proto == 0x86DD
        assert (inner.nh, inner.hlim, inner.plen) == (58, 64, len(packet) - 88)
        assert in6_chksum(58, inner, bytes(echo)) == 0
        assert (type(echo), echo.code) == (ICMPv6EchoRequest, 0)
    assert (echo.id, echo.seq) == (flow.identifier & 0xFFFF, number_of(flow, ordinal))
    assert bytes(echo)[10:18] == flow.marks.tag(ordinal)


@given(flows(), st.lists(ORDINALS, min_size=2, max_size=5), st.integers(1, 64))
def test_probes_of_a_flow_hash_alike(flow: Flow, ordinals: list[int], ttl: int) -> None:
    """Behind the outer header only sequence, steering and tag differ: not the key, the inner
    addresses or a checksum."""
    writer = writer_for(flow)
    seen = set()
    for ordinal in ordinals:
        packet = bytes(writer.write(ordinal, ttl))
        outer = HEADERS[flow.family]
        echo = outer + 8 + outer
        seen.add((packet[outer : echo + 6], packet[echo + 18 :], len(packet)))
    assert len(seen) == 1


def test_probe_byte_by_byte() -> None:
    """The first of a flow in IPv4, dissected.

    45 00 00 48 ii ii 00 00 05 2f 00 00  72 bytes, its IP ID, TTL 5, protocol 47; the kernel sums
    c0 00 02 01 cb 00 71 09              192.0.2.1 > 203.0.113.9
    20 00 08 00 c0 10 7a ce              GRE: a key, version 0; IPv4 inside; the key
    45 00 00 2c 00 00 40 00 40 01 3c c6  44 bytes, ID 0, do not fragment, TTL 64, ICMP, checksum
    c0 00 02 01 cb 00 71 09              192.0.2.1 > 203.0.113.9
    08 00 38 e0 7a ce 0f a0              echo request, checksum, the key's low half, sequence 4000
    ss ss tt tt tt tt tt tt tt tt        steering, tag
    63 6f 6c 6f 74 72                    colotr
    """
    flow = flow_of(Family.IPV4)
    packet = bytes(writer_for(flow).write(0, 5))
    tag = flow.marks.tag(0)
    # The sequence, the steering and the tag sum to nothing: 0xffff.
    steering = checksum(packet[54:56] + tag)
    assert packet == (
        bytes.fromhex("45000048")
        + flow.marks.ip_ids[0].to_bytes(2, "big")
        + bytes.fromhex("0000052f0000 c0000201cb007109 20000800c0107ace")
        + bytes.fromhex("4500002c0000400040013cc6 c0000201cb007109 080038e07ace0fa0")
        + steering.to_bytes(2, "big")
        + tag
        + packet[66:]
    )


@pytest.mark.parametrize("family", list(Family))
def test_quote_identifies_the_probe_as_far_as_it_goes(family: Family) -> None:
    """8 bytes have the key; with the inner ICMP header there is the number, with its payload the
    tag."""
    flow = flow_of(family)
    quote = quote_of(flow)
    echo = 8 + HEADERS[family]
    for length in range(len(quote) + 1):
        identity = gre_identity(quote[:length])
        if length < 8:
            assert identity is None
            continue
        number = number_of(flow, 7) if length >= echo + 8 else None
        tag = flow.marks.tag(7) if length >= echo + 18 else None
        cut = quote[echo + 8 : length] if number is not None and tag is None else b""
        assert identity == Quoted(KEY, 0, number, tag, cut)
    # What a router pads a short quote with is neither a number nor a tag.
    for length in (8, 20, echo):
        assert gre_identity(quote[:length].ljust(108, b"\0")) == Quoted(KEY, 0, None)


@pytest.mark.parametrize(
    "first",
    [
        "00000800",  # no key
        "20010800",  # version 1, as PPTP has it
        "a0000800",  # a checksum, which we never write
        "30000800",  # a sequence number, nor that
        "60000800",  # routing
        "20800800",  # reserved bits
        "20006558",  # Ethernet inside
        "20000000",
    ],
)
def test_gre_header_that_no_probe_has_is_refused(first: str) -> None:
    """By its first word."""
    assert gre_identity(bytes.fromhex(first) + quote_of(flow_of(Family.IPV4))[4:]) is None


@pytest.mark.parametrize("family", list(Family))
def test_inner_packet_of_another_program_is_refused(family: Family) -> None:
    """It has another echo identifier, or is no echo request."""
    quote = quote_of(flow_of(family))
    echo = 8 + HEADERS[family]
    for at in (4, 7, echo, echo + 1, echo + 4, echo + 5):
        changed = bytearray(quote)
        changed[at] ^= 1
        expected = (
            None if at != 4 else Quoted(KEY ^ 1 << 24, 0, 4_007, flow_of(family).marks.tag(7))
        )
        assert gre_identity(bytes(changed)) == expected


def test_options_in_the_inner_header_are_skipped() -> None:
    """A header that fills the whole quote hides number and tag."""
    quote = quote_of(flow_of(Family.IPV4))
    grown = quote[:8] + b"\x46" + quote[9:28] + bytes.fromhex("94040000") + quote[28:]
    identity = gre_identity(grown)
    assert identity is not None
    assert identity.number == 4_007
    assert gre_identity(quote[:8] + b"\x4f" + quote[9:]) == Quoted(KEY, 0, None)


@pytest.mark.parametrize("family", list(Family))
def test_foreign_inner_header_is_no_short_quote(family: Family) -> None:
    """Its version, length or protocol differs: then the key alone does not suffice, unless the
    header is cut."""
    quote = quote_of(flow_of(family))
    bent = [(8, 0x10), (8 + 6, 1), (8 + 9, 2), (8, 0x01)] if family is Family.IPV4 else [(14, 1)]
    for at, bits in [(8, 0x20), *bent]:
        changed = bytearray(quote)
        changed[at] ^= bits
        assert gre_identity(bytes(changed)) is None
        cut = bytes(changed[: 8 + HEADERS[family] - 1])
        assert gre_identity(cut.ljust(108, b"\0")) == Quoted(KEY, 0, None)


@given(st.sampled_from(Family), CHANGES, st.integers(0, 120))
def test_identity_of_a_mutated_quote_is_in_its_bytes(
    family: Family, changes: list[tuple[int, int]], keep: int
) -> None:
    """Key, number and tag are read from their places, whatever else has changed."""
    mutant = bytearray(quote_of(flow_of(family)))
    for at, change in changes:
        mutant[at % len(mutant)] ^= change
    mutant = mutant[:keep]
    identity = gre_identity(bytes(mutant))
    if identity is None:
        return
    assert identity.identifier == struct.unpack_from("!I", mutant, 4)[0]
    if identity.number is not None:
        inner = 20 if family is Family.IPV4 else 40
        echo = 8 + ((mutant[8] & 15) * 4 if family is Family.IPV4 else inner)
        assert identity.number == struct.unpack_from("!H", mutant, echo + 6)[0]
        assert identity.tag in {None, bytes(mutant[echo + 10 : echo + 18])}


ROUTER, ROUTER6 = "198.18.1.1", "2001:db8:1::1"


@pytest.mark.parametrize("beyond", [8, 36, 64])
def test_quote_in_a_routers_error_identifies_the_probe(beyond: int) -> None:
    """It has the key always, number and tag as far as quoted, and the IP ID in IPv4."""
    for family in Family:
        flow = flow_of(family)
        quote = bytes(writer_for(flow).write(7, 1))[: HEADERS[family] + beyond]
        if family is Family.IPV4:
            packet = IP(src=ROUTER, dst=US) / ICMP(type=11) / Raw(quote)
            heard = decode_icmp(bytes(packet))
        else:
            packet = IPv6(src=ROUTER6, dst=US6) / ICMPv6TimeExceeded() / Raw(quote)
            heard = decode_icmp6(bytes(packet)[40:], bytes(16))
        assert isinstance(heard, Heard)
        identity = gre_identity(quote[HEADERS[family] :])
        assert identity is not None
        assert (heard.key, heard.source) == (flow.key, flow.source)
        assert (heard.number, heard.tag) == (identity.number, identity.tag)
        assert heard.ip_id == (flow.marks.ip_ids[7] if family is Family.IPV4 else None)


@pytest.mark.parametrize("inserted", [b"", b"\x2f\0\1\4\0\0\0\0"])
@pytest.mark.parametrize("off", [0, 1, -1])
def test_pointer_ignores_inserted_extension_headers(inserted: bytes, off: int) -> None:
    """A target without GRE points at the last next-header field (RFC 8200 section 4)."""
    quote = bytes(writer_for(flow_of(Family.IPV6)).write(7, 1))
    at = 40 if inserted else 6
    if inserted:
        quote = quote[:6] + b"\x3c" + quote[7:40] + inserted + quote[40:]
    problem = ICMPv6ParamProblem(code=1, ptr=at + off) / Raw(quote)
    packet = IPv6(src=TARGET6, dst=US6) / problem
    heard = decode_icmp6(bytes(packet)[40:], flow_of(Family.IPV6).target)
    assert isinstance(heard, Heard)
    assert (heard.kind, heard.code) == (AnswerKind.PARAMETER, 1)
    assert heard.info == (6 if not off else at + off)
