"""Where extensions begin and the quote ends: dissected captures, each rule of RFC 4884."""

import pytest
from colotrace_agent.packets.extensions import split
from colotrace_proto.messages import Family
from scapy.utils import checksum
from unit.agent.packets.extension_bytes import (
    KINDS,
    ONE,
    ONE_LABEL,
    QUOTE,
    QUOTE6,
    QUOTES,
    UNITS,
    V4,
    V6,
    entry,
    message,
    structure,
    thing,
)


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
