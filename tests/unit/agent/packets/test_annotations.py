"""What a quoted IP header says of the way, as scapy writes it."""

import pytest
from colotrace_agent.packets.annotations import annotate, quoted_traffic_class, quoted_ttl
from colotrace_proto.messages import Family
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

OCTETS = st.integers(0, 255)


def header(family: Family, *, ttl: int = 1, traffic_class: int = 0) -> bytes:
    """A quoted IP header."""
    if family is Family.IPV4:
        return bytes(IP(ttl=ttl, tos=traffic_class, id=0xFFFF, flags=7))
    return bytes(IPv6(hlim=ttl, tc=traffic_class, fl=0xFFFFF))


@given(st.sampled_from(Family), OCTETS, OCTETS)
def test_fields_are_read_by_family(family: Family, ttl: int, traffic_class: int) -> None:
    """RFC 791, RFC 8200."""
    quote = header(family, ttl=ttl, traffic_class=traffic_class)
    assert quoted_ttl(quote, family) == ttl
    assert quoted_traffic_class(quote, family) == traffic_class


@pytest.mark.parametrize("family", list(Family))
def test_unchanged_probe_has_no_annotation(family: Family) -> None:
    """A TTL that has run down to 1 is as it should be."""
    assert annotate(header(family, ttl=1), family=family, expired=True) == ()


@pytest.mark.parametrize("family", list(Family))
def test_quoted_ttl_is_annotated_in_time_exceeded_only(family: Family) -> None:
    """In other errors it is the rest of the TTL."""
    quote = header(family, ttl=7)
    assert annotate(quote, family=family, expired=True) == ("QTTL=7",)
    assert annotate(quote, family=family, expired=False) == ()
    assert annotate(header(family, ttl=0), family=family, expired=True) == ("QTTL=0",)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("expired", [True, False])
def test_changed_traffic_class_is_annotated_by_its_parts(family: Family, expired: bool) -> None:
    """DSCP and ECN (RFC 2474, RFC 3168)."""
    told = {
        value: annotate(header(family, traffic_class=value), family=family, expired=expired)
        for value in (0xB8, 0x03, 0xBB)
    }
    assert told == {0xB8: ("DSCP=46",), 0x03: ("ECN=3",), 0xBB: ("DSCP=46", "ECN=3")}


def test_several_annotations_have_a_fixed_order() -> None:
    """In a fixed order."""
    quote = header(Family.IPV6, ttl=255, traffic_class=0xFF)
    labels = annotate(quote, family=Family.IPV6, expired=True)
    assert labels == ("QTTL=255", "DSCP=63", "ECN=3")
