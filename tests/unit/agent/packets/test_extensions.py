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
    extension_object,
    message,
    structure,
)


def test_captured_label_stack_in_ipv4() -> None:
    """A core router of an MPLS network; the quote is padded to 128 bytes.

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


def test_captured_interface_in_ipv6() -> None:
    """The interface by which the probe arrived.

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
def test_length_field_says_where_extensions_begin(family: Family, padded: int) -> None:
    """In words of 4 bytes in IPv4, of 8 in IPv6 (section 4)."""
    rest = QUOTES[family].ljust(padded, b"\0") + ONE
    stated = message(rest, family=family, stated=padded // UNITS[family])
    assert split(stated, family=family) == (QUOTES[family], ONE_LABEL)
    assert split(stated, family=family)[0] == QUOTES[family]


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("filled", [0, 3, 10, 11, 40])
def test_padding_of_a_cut_message_is_removed(family: Family, filled: int) -> None:
    """The message ends before the length that it states, after a few zeros of the padding."""
    cut = message(QUOTES[family] + bytes(filled), family=family, stated=128 // UNITS[family])
    assert split(cut, family=family)[0] == QUOTES[family]


@pytest.mark.parametrize("family", list(Family))
def test_without_a_length_extensions_begin_at_128(family: Family) -> None:
    """As routers older than RFC 4884 send them (section 5.5)."""
    rest = QUOTES[family].ljust(128, b"\0") + ONE
    assert split(message(rest, family=family), family=family) == (QUOTES[family], ONE_LABEL)


@pytest.mark.parametrize("family", list(Family))
def test_only_extensible_messages_have_extensions(family: Family) -> None:
    """Section 4. Other messages use these bytes otherwise."""
    rest = QUOTES[family].ljust(128, b"\0") + ONE
    for kind in range(256):
        told = message(rest, family=family, kind=kind, stated=128 // UNITS[family])
        expected = (QUOTES[family], ONE_LABEL) if kind in KINDS[family] else (rest, ())
        assert split(told, family=family) == expected


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("stated", [1, 7, 31, 33, 100, 255])
def test_wrong_length_field_is_ignored(family: Family, stated: int) -> None:
    """Even beyond the end of the message: extensions are still found at 128 bytes."""
    told = message(QUOTES[family].ljust(128, b"\0") + ONE, family=family, stated=stated)
    assert split(told, family=family) == (QUOTES[family], ONE_LABEL)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("size", [0, 28, 48, 127, 128, 131, 132, 140])
def test_length_field_without_extensions_keeps_the_quote(family: Family, size: int) -> None:
    """No label is invented, and no byte of a probe is lost: none is longer than 128 bytes."""
    rest = (QUOTES[family] + bytes(range(1, 128)))[:size]
    for stated in range(256):
        length = stated * UNITS[family]
        quote = rest[:length] if length >= 128 else rest
        told = message(rest, family=family, stated=stated)
        assert split(told, family=family) == (quote, ())


def test_extension_with_a_checksum_may_begin_before_128() -> None:
    """Some routers state the quote's length but do not pad it."""
    told = message(QUOTE + ONE, stated=7)
    assert split(told, family=V4) == (QUOTE, ONE_LABEL)


@pytest.mark.parametrize(
    "broken",
    [
        structure(extension_object(1, 1, entry(16)), version=1),
        structure(extension_object(1, 1, entry(16)), version=3),
        structure(extension_object(1, 1, entry(16)), version=0),
        structure(extension_object(1, 1, entry(16)), total=0x1234),
        ONE[:-1] + bytes([ONE[-1] ^ 1]),
        ONE[:3],
    ],
)
@pytest.mark.parametrize("stated", [0, 32])
def test_structure_with_a_wrong_version_or_checksum_is_ignored(broken: bytes, stated: int) -> None:
    """Section 7. If the length field points at it, it is no part of the quote either."""
    rest = QUOTE.ljust(128, b"\0") + broken
    assert split(message(rest, stated=stated), family=V4) == (QUOTE if stated else rest, ())


def test_checksum_may_be_absent() -> None:
    """0 means that none was computed (section 7)."""
    rest = QUOTE.ljust(128, b"\0") + structure(extension_object(1, 1, entry(16, ttl=7)), total=0)
    assert split(message(rest, stated=32), family=V4) == (QUOTE, ONE_LABEL)


def test_padding_before_extensions_is_removed() -> None:
    """The first 8 bytes behind the IP header belong to the probe, even if they are zero."""
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


def test_partly_quoted_payload_is_kept() -> None:
    """Up to its last word that is not zero."""
    for last in (b"\0\0\0\1", b"\1\0\0\0"):
        quote = QUOTE + bytes(4) + last
        assert split(message(quote.ljust(128, b"\0") + ONE), family=V4)[0] == quote
