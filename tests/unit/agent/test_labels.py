"""The labels of nodes, and that the guide explains each."""

from pathlib import Path

import pytest
from colotrace_agent import labels
from colotrace_proto.messages import MAX_LABEL, Family, PacketType

GUIDE = (Path(__file__).parents[3] / "docs" / "guide.md").read_text()
TABLE = GUIDE.partition("### Labels")[2].partition("###")[0]


@pytest.mark.parametrize("family", Family)
def test_each_label_of_an_unreachable_destination_is_explained(family: Family) -> None:
    """A code without a letter is shown as its number, as `!<13>` in the guide."""
    for code in range(256):
        label = labels.unreachable(code, family)
        assert f"`{label}`" in TABLE or label == f"!<{code}>"


@pytest.mark.parametrize(
    "label",
    [
        labels.NAT,
        labels.PROHIBITED,
        labels.PARAMETER_PROBLEM,
        labels.too_big(1400),
        labels.quoted_ttl(3),
        labels.dscp(46),
        labels.ecn(3),
        labels.mpls(24015 << 12 | 1 << 8 | 1),
        labels.zone(b"eth0"),
        labels.answered_type(PacketType.GRE),
        *labels.interface(
            "INC", ["523", "192.0.2.1", labels.interface_name(b"xe-0/0/1"), "mtu=9000"]
        ),
    ],
)
def test_each_other_label_is_explained(label: str) -> None:
    """By the example that the guide has of it."""
    assert f"`{label}`" in TABLE


def test_an_interface_that_is_too_long_for_one_label_has_several() -> None:
    """Each begins with the role; a property that is longer than a label is cut."""
    found = labels.interface("OUT", ["1", "a" * 50, "b" * 99])
    assert found == ["OUT:1," + "a" * 50, "OUT:" + "b" * 59 + "…"]
    assert max(map(len, found)) == MAX_LABEL


def test_a_name_shows_no_byte_that_a_terminal_or_parser_obeys() -> None:
    """A router chose it."""
    assert labels.interface_name(b'a"\x1b%\xff') == '"a%22%1B%25%FF"'
    assert labels.zone(b"a%\n") == "%a%25%0A"
