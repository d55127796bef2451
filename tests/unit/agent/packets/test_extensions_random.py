"""ICMP extensions as scapy builds them, and any other bytes."""

from colotrace_agent.packets.extensions import split
from colotrace_proto.messages import MAX_LABEL, MAX_LABELS, Family
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS, ICMPExtension_MPLS
from scapy.layers.inet import (
    ICMP,
    IP,
    ICMPExtension_Header,
    ICMPExtension_InterfaceInformation,
)
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6
from scapy.packet import Packet, Raw
from unit.agent.packets.extension_bytes import (
    ADDRESS6,
    INDEX,
    MTU,
    NAME,
    ONE,
    QUOTE,
    QUOTE6,
    QUOTES,
    V4,
    V6,
    extension_object,
    message,
    structure,
)

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
    """An interface's parts, as the label should show them."""
    words = [str(fields.ifindex)] if fields.has_ifindex else []
    if fields.has_ipaddr:
        words.append(fields.ip4 if fields.afi == 1 else fields.ip6)
    if fields.has_ifname:
        words.append('"{}"'.format(fields.ifname.rstrip(b"\0").decode()))
    return [*words, f"mtu={fields.mtu}"] if fields.has_mtu else words


def whole(extension: Packet, family: Family) -> bytes:
    """An ICMP error with the extension, built by scapy."""
    if family is V4:
        error = IP() / ICMP(type=11, length=32, ext=extension) / Raw(QUOTE)
        return bytes(error)[20:]
    return bytes(IPv6() / ICMPv6TimeExceeded(length=16, ext=extension) / Raw(QUOTE6))[40:]


@given(MPLS_STACKS, st.sampled_from(Family))
def test_label_stack_built_by_scapy_is_read(stack: list[Packet], family: Family) -> None:
    """Any stack, with its checksums."""
    told = whole(ICMPExtension_Header() / ICMPExtension_MPLS(stack=stack), family)
    assert split(told, family=family) == (
        QUOTES[family],
        tuple(f"MPLS:L={one.label},E={one.cos},S={one.s},T={one.ttl}" for one in stack),
    )


@given(interfaces(), st.sampled_from(Family))
def test_interface_built_by_scapy_is_read(interface: Packet, family: Family) -> None:
    """With any of its parts, in as many labels as needed."""
    told = whole(ICMPExtension_Header() / interface, family)
    quote, labels = split(told, family=family)
    assert quote == QUOTES[family]
    role = ("INC:", "SUB:", "OUT:", "NXT:")[interface.classtype]
    assert all(label.startswith(role) and len(label) <= MAX_LABEL for label in labels)
    assert ",".join(label[4:] for label in labels) == ",".join(by_scapy(interface))


SOUND = [
    message(QUOTE.ljust(128, b"\0") + ONE, stated=32),
    message(
        QUOTE6.ljust(128, b"\0")
        + structure(extension_object(2, 0x0F, INDEX + ADDRESS6 + NAME + MTU)),
        family=V6,
        stated=16,
    ),
]


def check(data: bytes) -> None:
    """Check what holds for any bytes: the quote is part of them, and labels are within bounds."""
    for family in Family:
        quote, labels = split(data, family=family)
        assert data[8:].startswith(quote)
        assert len(labels) <= MAX_LABELS
        for label in labels:
            assert len(label) <= MAX_LABEL
            assert label.isprintable()


@given(st.binary(max_size=300))
def test_any_bytes_are_split_without_an_error(data: bytes) -> None:
    """From the network, so nothing may raise."""
    check(data)


@given(st.integers(0, 255), st.binary(max_size=200), st.binary(max_size=200))
def test_any_objects_are_read_without_an_error(stated: int, quote: bytes, objects: bytes) -> None:
    """Behind an extension header that is right."""
    for family in Family:
        for rest in (quote, quote.ljust(128, b"\0")[:128]):
            check(message(rest + structure(objects), family=family, stated=stated))


@given(st.sampled_from(SOUND), st.lists(st.tuples(st.integers(0, 255), st.integers(1, 255))))
def test_mutants_are_split_without_an_error(sound: bytes, changes: list[tuple[int, int]]) -> None:
    """Without a checksum, so that their objects are read."""
    mutant = bytearray(sound)
    mutant[138:140] = b"\0\0"
    for at, change in changes:
        mutant[at % len(mutant)] ^= change
    check(bytes(mutant))
    for keep in range(len(mutant)):
        check(bytes(mutant[:keep]))
