"""ICMP extensions: captures with their dissection, every rule of their RFCs, scapy as judge."""

import struct

import pytest
from colotrace_agent.packets.extensions import split
from colotrace_proto.messages import MAX_LABEL, MAX_LABELS, Family
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS, ICMPExtension_MPLS
from scapy.layers.inet import (
    ICMP,
    IP,
    UDP,
    ICMPExtension_Header,
    ICMPExtension_InterfaceInformation,
)
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6
from scapy.packet import Packet, Raw
from scapy.utils import checksum

V4, V6 = Family.IPV4, Family.IPV6

# A UDP probe as a router quotes it: 8 bytes beyond the IP header, the last not zero.
QUOTE = bytes(IP(src="192.0.2.1", dst="203.0.113.9", ttl=1) / UDP(sport=20_001, chksum=0x1234))
QUOTE6 = bytes(IPv6(src="2001:db8::1", dst="2001:db8:ffff::9") / UDP(sport=20_001, chksum=0x1234))
QUOTES = {V4: QUOTE, V6: QUOTE6}
KINDS = {V4: (3, 11, 12), V6: (1, 3)}
UNITS = {V4: 4, V6: 8}


def message(
    rest: bytes, *, family: Family = V4, stated: int = 0, kind: int | None = None, code: int = 0
) -> bytes:
    """An ICMP error with that length field; nobody here looks at its own checksum."""
    kind = KINDS[family][-1 if family is V6 else 1] if kind is None else kind
    header = [kind, code, 0, 0, 0, 0, 0, 0]
    header[5 if family is V4 else 4] = stated
    return bytes(header) + rest


def structure(*objects: bytes, version: int = 2, total: int | None = None) -> bytes:
    """An extension structure of those objects."""
    body = b"".join(objects)
    if total is None:
        total = checksum(struct.pack("!HH", version << 12, 0) + body)
    return struct.pack("!HH", version << 12, total) + body


def thing(kind: int, subtype: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """An object."""
    length = 4 + len(payload) if length is None else length
    return struct.pack("!HBB", length, kind, subtype) + payload


def entry(label: int, bits: int = 0, bottom: int = 0, ttl: int = 1) -> bytes:
    """A label stack entry."""
    return struct.pack("!I", label << 12 | bits << 9 | bottom << 8 | ttl)


ONE = structure(thing(1, 1, entry(16, ttl=7)))
ONE_LABEL = ("MPLS:L=16,E=0,S=0,T=7",)


def labels_of(*objects: bytes) -> tuple[str, ...]:
    """What they are read as, behind a quote of 128 bytes."""
    return split(message(QUOTE.ljust(128, b"\0") + structure(*objects), stated=32), family=V4)[1]


def test_a_label_stack_in_ipv4() -> None:
    """A core router of an MPLS network, the quote filled up to 128 bytes.

    0b 00 f3 14          time exceeded in transit, checksum
    00 20 00 00          length 0x20: 32 words, 128 bytes
    45 00 00 2c …        the quoted IP header: 44 bytes, UDP, 192.0.2.1 > 203.0.113.9
    4e 21 82 9a 00 18 30 f7  its UDP header, then 100 zeros
    20 00 dd 15          extension header: version 2, checksum
    00 0c 01 01          object: 12 bytes, class 1 (MPLS label stack), type 1 (incoming)
    05 dc f0 01          label 24015, bits 0, not the bottom, TTL 1
    00 01 0b fe          label 16, bits 5, the bottom, TTL 254
    """
    quote = bytes.fromhex("4500002c000100000111bbb5c0000201cb007109 4e21829a001830f7")
    extension = bytes.fromhex("2000dd15 000c0101 05dcf001 00010bfe")
    assert checksum(extension) == 0
    capture = bytes.fromhex("0b00f314 00200000") + quote + bytes(100) + extension
    labels = ("MPLS:L=24015,E=0,S=0,T=1", "MPLS:L=16,E=5,S=1,T=254")
    assert split(capture, family=V4) == (quote, labels)
    # The same from a router that fills in neither length nor checksum (section 5.5).
    old = capture[:5] + b"\0" + capture[6:138] + b"\0\0" + capture[140:]
    assert split(old, family=V4) == (quote, labels)


def test_an_interface_in_ipv6() -> None:
    """The interface that the probe came in by.

    03 00 1f a4          hop limit exceeded in transit, checksum
    10 00 00 00          length 0x10: 16 words of 8, 128 bytes
    60 00 00 00 …        the quoted IPv6 header: 8 bytes, UDP, 2001:db8::1 > 2001:db8:ffff::9
    4e 21 82 9a 00 08 d3 a6  its UDP header, then 80 zeros
    20 00 22 6e          extension header: version 2, checksum
    00 30 02 0f          object: 48 bytes, class 2, incoming, with index, address, name and MTU
    00 00 02 0b          index 523
    00 02 00 00 …        address family 2, 2001:db8:1::1
    10 78 65 2d …        name: 16 bytes with this one, "xe-0/0/1.100", filled up
    00 00 23 28          MTU 9000
    """
    quote = bytes.fromhex(
        "60000000 0008 11 01 20010db8000000000000000000000001 20010db8ffff00000000000000000009"
        "4e21829a 0008d3a6"
    )
    extension = bytes.fromhex(
        "2000226e 0030020f 0000020b 00020000 20010db8000100000000000000000001"
        "10 78652d302f302f312e313030 000000 00002328"
    )
    assert checksum(extension) == 0
    capture = bytes.fromhex("03001fa4 10000000") + quote + bytes(80) + extension
    labels = ('INC:523,2001:db8:1::1,"xe-0/0/1.100",mtu=9000',)
    assert split(capture, family=V6) == (quote, labels)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("padded", [128, 136, 160, 512])
def test_the_stated_length_is_believed(family: Family, padded: int) -> None:
    """In words of 4 bytes, or of 8 (section 4)."""
    rest = QUOTES[family].ljust(padded, b"\0") + ONE
    stated = message(rest, family=family, stated=padded // UNITS[family])
    assert split(stated, family=family) == (QUOTES[family], ONE_LABEL)
    assert split(stated, family=family)[0] == QUOTES[family]


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("filled", [0, 3, 10, 11, 40])
def test_a_cut_message_shows_no_zeros_either(family: Family, filled: int) -> None:
    """It states a length, and ends before that: with few zeros of those that fill it up."""
    cut = message(QUOTES[family] + bytes(filled), family=family, stated=128 // UNITS[family])
    assert split(cut, family=family)[0] == QUOTES[family]


@pytest.mark.parametrize("family", list(Family))
def test_without_a_length_extensions_begin_at_128(family: Family) -> None:
    """Routers older than RFC 4884 (section 5.5)."""
    rest = QUOTES[family].ljust(128, b"\0") + ONE
    assert split(message(rest, family=family), family=family) == (QUOTES[family], ONE_LABEL)


@pytest.mark.parametrize("family", list(Family))
def test_each_message_that_can_be_extended_is(family: Family) -> None:
    """Section 4; the others have other things in those bytes."""
    rest = QUOTES[family].ljust(128, b"\0") + ONE
    for kind in range(256):
        told = message(rest, family=family, kind=kind, stated=128 // UNITS[family])
        expected = (QUOTES[family], ONE_LABEL) if kind in KINDS[family] else (rest, ())
        assert split(told, family=family) == expected


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("stated", [1, 7, 31, 33, 100, 255])
def test_a_wrong_length_is_not_believed(family: Family, stated: int) -> None:
    """Not even where it is beyond the end: what is at 128 bytes is found all the same."""
    told = message(QUOTES[family].ljust(128, b"\0") + ONE, family=family, stated=stated)
    assert split(told, family=family) == (QUOTES[family], ONE_LABEL)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("size", [0, 28, 48, 127, 128, 131, 132, 140])
def test_a_length_that_leads_nowhere_gives_the_quote(family: Family, size: int) -> None:
    """Nothing is made up, and nothing of a probe, none of which is longer than 128, is lost."""
    rest = (QUOTES[family] + bytes(range(1, 128)))[:size]
    for stated in range(256):
        length = stated * UNITS[family]
        quote = rest[:length] if length >= 128 else rest
        told = message(rest, family=family, stated=stated)
        assert split(told, family=family) == (quote, ())


def test_short_of_128_bytes_a_checked_extension_is_believed() -> None:
    """Some routers do not fill up the quote, but state its length."""
    told = message(QUOTE + ONE, stated=7)
    assert split(told, family=V4) == (QUOTE, ONE_LABEL)


@pytest.mark.parametrize(
    "broken",
    [
        structure(thing(1, 1, entry(16)), version=1),
        structure(thing(1, 1, entry(16)), version=3),
        structure(thing(1, 1, entry(16)), version=0),
        structure(thing(1, 1, entry(16)), total=0x1234),
        ONE[:-1] + bytes([ONE[-1] ^ 1]),
        ONE[:3],
    ],
)
@pytest.mark.parametrize("stated", [0, 32])
def test_a_structure_that_does_not_check_is_none(broken: bytes, stated: int) -> None:
    """Version and checksum (section 7); where its place is stated, it is no quote either."""
    rest = QUOTE.ljust(128, b"\0") + broken
    assert split(message(rest, stated=stated), family=V4) == (QUOTE if stated else rest, ())


def test_no_checksum_is_right_too() -> None:
    """0 says that none was computed (section 7)."""
    rest = QUOTE.ljust(128, b"\0") + structure(thing(1, 1, entry(16, ttl=7)), total=0)
    assert split(message(rest, stated=32), family=V4) == (QUOTE, ONE_LABEL)


def test_zeros_in_front_of_extensions_are_no_bytes_of_the_probe() -> None:
    """But its first 8 bytes behind the IP header are, zeros or not, options or not."""
    headers = {V4: [QUOTE[:20], bytes([0x46]) + QUOTE[1:20] + bytes(4)], V6: [QUOTE6[:40]]}
    for family, quotes in headers.items():
        for header in quotes:
            rest = header.ljust(128, b"\0") + ONE
            told = message(rest, family=family, stated=128 // UNITS[family])
            assert split(told, family=family)[0] == header + bytes(8)
    # With headers in between, the 8 bytes begin behind them.
    chained = QUOTE6[:6] + b"\0" + QUOTE6[7:40] + b"\x11" + bytes(7) + QUOTE6[40:]
    padded = chained.ljust(128, b"\0")
    assert split(message(padded + ONE, family=V6, stated=16), family=V6)[0] == chained


def test_a_partly_quoted_payload_keeps_what_is_quoted() -> None:
    """Up to the last word that is not zero."""
    for last in (b"\0\0\0\1", b"\1\0\0\0"):
        quote = QUOTE + bytes(4) + last
        assert split(message(quote.ljust(128, b"\0") + ONE), family=V4)[0] == quote


@pytest.mark.parametrize(
    "bad",
    [
        thing(1, 1, entry(17), length=0),
        thing(1, 1, entry(17), length=3),
        thing(1, 1, entry(17), length=7),
        thing(1, 1, entry(17), length=12),
        thing(1, 1, entry(17), length=65_535),
        thing(1, 1, entry(17))[:6],
        thing(1, 1)[:3],
    ],
)
def test_objects_are_read_up_to_a_bad_length(bad: bytes) -> None:
    """What stood in front of it is kept (section 8)."""
    assert labels_of(thing(1, 1, entry(16, ttl=7)), bad) == ONE_LABEL


def test_unknown_classes_and_types_are_passed_over() -> None:
    """RFC 4884 section 8; class 3 identifies the interface asked for by a probe (RFC 8335)."""
    unknown = [thing(1, 0, entry(17)), thing(1, 2, entry(17)), thing(3, 1, b"eth0"), thing(0, 0)]
    unknown.append(thing(250, 1, bytes(40)))
    assert labels_of(*unknown, thing(1, 1, entry(16, ttl=7)), *unknown) == ONE_LABEL
    assert labels_of() == labels_of(thing(1, 1)) == ()


def test_there_are_bounds() -> None:
    """On objects and on labels."""
    assert len(labels_of(thing(1, 1, entry(16) * 40))) == MAX_LABELS
    assert len(labels_of(*[thing(1, 1, entry(n)) for n in range(40)])) == MAX_LABELS
    assert labels_of(*[thing(9, 9)] * 40, thing(1, 1, entry(16))) == ()


INDEX = struct.pack("!I", 3)
ADDRESS = b"\0\1\0\0" + bytes([198, 51, 100, 1])
ADDRESS6 = b"\0\2\0\0" + QUOTE6[24:40]
NAME = b"\x0cge-0/0/1\0\0\0"
MTU = struct.pack("!I", 1_500)


@pytest.mark.parametrize(
    ("subtype", "payload", "label"),
    [
        (0x0F, INDEX + ADDRESS + NAME + MTU, 'INC:3,198.51.100.1,"ge-0/0/1",mtu=1500'),
        (0x08, INDEX, "INC:3"),
        (0x44, ADDRESS6, "SUB:2001:db8:ffff::9"),
        (0x82, NAME, 'OUT:"ge-0/0/1"'),
        (0xC1, MTU, "NXT:mtu=1500"),
        # Reserved bits say nothing (section 4.1), and what follows is passed over.
        (0x38, INDEX + bytes(4), "INC:3"),
        (0x02, b"\4\0\0\0", 'INC:""'),
        # UTF-8, not quite UTF-8, what a terminal would obey, what ends a name.
        (0x02, b"\x08\xc3\xbc,\xff\x1b \0", 'INC:"%C3%BC,%FF%1B%20"'),
        (0x02, b'\x08a"b%c\0\0', 'INC:"a%22b%25c"'),
    ],
)
def test_an_interface_is_named_as_traceroute_does(subtype: int, payload: bytes, label: str) -> None:
    """Each part where its bit says so (RFC 5837 section 4)."""
    assert labels_of(thing(2, subtype, payload)) == (label,)


@pytest.mark.parametrize(
    ("subtype", "payload"),
    [
        (0x00, b""),
        (0x08, b""),
        (0x04, b"\0\3\0\0" + bytes(6) + b"\0\0"),
        (0x04, ADDRESS[:4]),
        (0x04, ADDRESS6[:-4]),
        (0x0C, INDEX),
        (0x02, b""),
        (0x02, b"\0\0\0\0"),
        (0x02, b"\5abcd\0\0\0"),
        (0x02, b"\x0cabc"),
        (0x02, b"\x44" + b"a" * 67),
        (0x01, b""),
        (0x0F, INDEX + ADDRESS + NAME),
    ],
)
def test_an_interface_that_does_not_add_up_is_none(subtype: int, payload: bytes) -> None:
    """And those behind it are read."""
    good = thing(1, 1, entry(16, ttl=7))
    assert labels_of(thing(2, subtype, payload), good) == ONE_LABEL


def test_long_words_take_another_label_or_are_cut() -> None:
    """A label has 64 characters, a name alone up to 63."""
    name = b"\x40" + b"x" * 63
    labels = labels_of(thing(2, 0x8F, INDEX + ADDRESS6 + name + MTU))
    assert labels == (
        "OUT:3,2001:db8:ffff::9",
        f'OUT:"{"x" * 58}…',
        "OUT:mtu=1500",
    )
    assert max(map(len, labels)) == MAX_LABEL


MPLS_STACKS = st.lists(
    st.builds(
        MPLS,
        label=st.integers(0, 0xFFFFF),
        cos=st.integers(0, 7),
        s=st.integers(0, 1),
        ttl=st.integers(0, 255),
    ),
    max_size=8,
)
NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=40)


@st.composite
def interfaces(draw: st.DrawFn) -> Packet:
    """Any interface as scapy builds it."""
    fields: dict[str, int | str | bytes] = {"classtype": draw(st.integers(0, 3))}
    if draw(st.booleans()):
        fields |= {"has_ifindex": 1, "ifindex": draw(st.integers(0, 0xFFFFFFFF))}
    if draw(st.booleans()):
        fields |= {"has_ipaddr": 1, "afi": 1, "ip4": str(draw(st.ip_addresses(v=4)))}
    elif draw(st.booleans()):
        fields |= {"has_ipaddr": 1, "afi": 2, "ip6": str(draw(st.ip_addresses(v=6)))}
    if draw(st.booleans()):
        name = draw(NAMES).encode()
        name = name.ljust(len(name) + -(len(name) + 1) % 4, b"\0")
        # scapy counts the name without the length octet, the RFC with it.
        fields |= {"has_ifname": 1, "ifname": name, "ifname_len": len(name) + 1}
    if draw(st.booleans()):
        fields |= {"has_mtu": 1, "mtu": draw(st.integers(0, 0xFFFFFFFF))}
    return ICMPExtension_InterfaceInformation(**fields)


def by_scapy(fields: Packet) -> list[str]:
    """An interface's words."""
    words = [str(fields.ifindex)] if fields.has_ifindex else []
    if fields.has_ipaddr:
        words.append(fields.ip4 if fields.afi == 1 else fields.ip6)
    if fields.has_ifname:
        words.append('"{}"'.format(fields.ifname.rstrip(b"\0").decode()))
    return [*words, f"mtu={fields.mtu}"] if fields.has_mtu else words


def whole(extension: Packet, family: Family) -> bytes:
    """The error that scapy makes of it."""
    if family is V4:
        error = IP() / ICMP(type=11, length=32, ext=extension) / Raw(QUOTE)
        return bytes(error)[20:]
    return bytes(IPv6() / ICMPv6TimeExceeded(length=16, ext=extension) / Raw(QUOTE6))[40:]


@given(MPLS_STACKS, st.sampled_from(Family))
def test_scapys_label_stacks_are_read_as_it_built_them(stack: list[Packet], family: Family) -> None:
    """Any stack, checksums and all."""
    told = whole(ICMPExtension_Header() / ICMPExtension_MPLS(stack=stack), family)
    assert split(told, family=family) == (
        QUOTES[family],
        tuple(f"MPLS:L={one.label},E={one.cos},S={one.s},T={one.ttl}" for one in stack),
    )


@given(interfaces(), st.sampled_from(Family))
def test_scapys_interfaces_are_read_as_it_built_them(interface: Packet, family: Family) -> None:
    """Any parts of one, in as many labels as need be."""
    told = whole(ICMPExtension_Header() / interface, family)
    quote, labels = split(told, family=family)
    assert quote == QUOTES[family]
    role = ("INC:", "SUB:", "OUT:", "NXT:")[interface.classtype]
    assert all(label.startswith(role) and len(label) <= MAX_LABEL for label in labels)
    assert ",".join(label[4:] for label in labels) == ",".join(by_scapy(interface))


SOUND = [
    message(QUOTE.ljust(128, b"\0") + ONE, stated=32),
    message(
        QUOTE6.ljust(128, b"\0") + structure(thing(2, 0x0F, INDEX + ADDRESS6 + NAME + MTU)),
        family=V6,
        stated=16,
    ),
]


def check(data: bytes) -> None:
    """What always holds: a quote that was there, and labels within bounds."""
    for family in Family:
        quote, labels = split(data, family=family)
        assert data[8:].startswith(quote)
        assert len(labels) <= MAX_LABELS
        for label in labels:
            assert len(label) <= MAX_LABEL
            assert label.isprintable()


@given(st.binary(max_size=300))
def test_any_bytes_are_split(data: bytes) -> None:
    """Nothing raises, whatever a stranger sends."""
    check(data)


@given(st.integers(0, 255), st.binary(max_size=200), st.binary(max_size=200))
def test_any_objects_are_read(stated: int, quote: bytes, objects: bytes) -> None:
    """Behind a header that checks."""
    for family in Family:
        for rest in (quote, quote.ljust(128, b"\0")[:128]):
            check(message(rest + structure(objects), family=family, stated=stated))


@given(st.sampled_from(SOUND), st.lists(st.tuples(st.integers(0, 255), st.integers(1, 255))))
def test_mutants_are_split(sound: bytes, changes: list[tuple[int, int]]) -> None:
    """With no checksum, so that they are looked at."""
    mutant = bytearray(sound)
    mutant[138:140] = b"\0\0"
    for at, change in changes:
        mutant[at % len(mutant)] ^= change
    check(bytes(mutant))
    for keep in range(len(mutant)):
        check(bytes(mutant[:keep]))
