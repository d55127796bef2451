"""Objects of ICMP extensions as labels: each rule for MPLS label stacks and interfaces."""

import pytest
from colotrace_agent.packets.extensions import split
from colotrace_proto.messages import MAX_LABEL, MAX_LABELS
from unit.agent.packets.extension_bytes import (
    ADDRESS,
    ADDRESS6,
    INDEX,
    MTU,
    NAME,
    ONE_LABEL,
    QUOTE,
    V4,
    entry,
    message,
    structure,
    thing,
)


def labels_of(*objects: bytes) -> tuple[str, ...]:
    """What they are read as, behind a quote of 128 bytes."""
    return split(message(QUOTE.ljust(128, b"\0") + structure(*objects), stated=32), family=V4)[1]


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
