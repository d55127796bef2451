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
    extension_object,
    message,
    structure,
)


def labels_of(*objects: bytes) -> tuple[str, ...]:
    """The labels of these objects, behind a quote of 128 bytes."""
    return split(message(QUOTE.ljust(128, b"\0") + structure(*objects), stated=32), family=V4)[1]


@pytest.mark.parametrize(
    "bad",
    [
        extension_object(1, 1, entry(17), length=0),
        extension_object(1, 1, entry(17), length=3),
        extension_object(1, 1, entry(17), length=7),
        extension_object(1, 1, entry(17), length=12),
        extension_object(1, 1, entry(17), length=65_535),
        extension_object(1, 1, entry(17))[:6],
        extension_object(1, 1)[:3],
    ],
)
def test_objects_are_read_up_to_a_bad_length(bad: bytes) -> None:
    """Objects before it count (section 8)."""
    assert labels_of(extension_object(1, 1, entry(16, ttl=7)), bad) == ONE_LABEL


def test_unknown_classes_and_types_are_skipped() -> None:
    """RFC 4884 section 8. Class 3 identifies the interface that a probe asks for (RFC 8335)."""
    unknown = [
        extension_object(1, 0, entry(17)),
        extension_object(1, 2, entry(17)),
        extension_object(3, 1, b"eth0"),
        extension_object(0, 0),
    ]
    unknown.append(extension_object(250, 1, bytes(40)))
    assert labels_of(*unknown, extension_object(1, 1, entry(16, ttl=7)), *unknown) == ONE_LABEL
    assert labels_of() == labels_of(extension_object(1, 1)) == ()


def test_objects_and_labels_are_bounded() -> None:
    """A message may hold more of either."""
    assert len(labels_of(extension_object(1, 1, entry(16) * 40))) == MAX_LABELS
    assert len(labels_of(*[extension_object(1, 1, entry(n)) for n in range(40)])) == MAX_LABELS
    assert labels_of(*[extension_object(9, 9)] * 40, extension_object(1, 1, entry(16))) == ()


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
def test_interface_is_printed_as_traceroute_does(subtype: int, payload: bytes, label: str) -> None:
    """Each part whose bit is set (RFC 5837 section 4)."""
    assert labels_of(extension_object(2, subtype, payload)) == (label,)


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
def test_malformed_interface_is_skipped(subtype: int, payload: bytes) -> None:
    """Objects behind it are read."""
    good = extension_object(1, 1, entry(16, ttl=7))
    assert labels_of(extension_object(2, subtype, payload), good) == ONE_LABEL


def test_long_parts_take_another_label_or_are_cut() -> None:
    """A label has at most 64 characters, a name alone up to 63."""
    name = b"\x40" + b"x" * 63
    labels = labels_of(extension_object(2, 0x8F, INDEX + ADDRESS6 + name + MTU))
    assert labels == (
        "OUT:3,2001:db8:ffff::9",
        f'OUT:"{"x" * 58}…',
        "OUT:mtu=1500",
    )
    assert max(map(len, labels)) == MAX_LABEL
