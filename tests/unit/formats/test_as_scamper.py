"""scamper's shape. tests/integration/formats compares it with scamper itself."""

import pytest
from colotrace_proto.measured import Measured

from .samples import CASES, lines, measured, plain, trace


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (measured({0: trace("T1")}), ("COMPLETED", 0)),
        (plain(), ("UNREACH", 13)),
        (CASES["silent"], ("HOPLIMIT", 0)),
        (CASES["running"], ("NONE", 0)),
        (CASES["lost agent"], ("ERROR", 0)),
        (measured({0: trace("* * *")}), ("GAPLIMIT", 0)),
    ],
)
def test_reason_of_the_end_is_told(what: Measured, reason: tuple[str, int]) -> None:
    last = lines("scamper", what)[-1]
    assert (last["stop_reason"], last["stop_data"]) == reason


def test_hop_is_an_answer() -> None:
    den, sin = lines("scamper", plain())
    places = [(hop["probe_ttl"], hop["probe_id"]) for hop in den["hops"]]
    assert places == [(1, 1), (1, 2), (1, 3), (3, 1), (3, 2), (4, 1), (4, 2), (4, 3)]
    assert (den["hops"][0]["icmp_type"], den["hops"][-1]["icmp_type"]) == (11, 0)
    assert (sin["hops"][-1]["icmp_type"], sin["hops"][-1]["icmp_code"]) == (3, 13)
    assert sin["hops"][3]["icmpext"][0]["mpls_labels"][0]["mpls_label"] == 24015


def test_silent_trace_has_no_hops() -> None:
    (row,) = lines("scamper", CASES["silent"])
    assert "hops" not in row
    assert row["probe_count"] == 6


def test_udp_has_ports_and_no_icmp_type_of_the_target() -> None:
    """A target may have answered with a datagram as well as with "port unreachable"."""
    (row,) = lines("scamper", CASES["multipath"])
    assert (row["method"], row["sport"], row["dport"]) == ("udp-paris", 33_000, 33_434)
    assert "icmp_type" not in row["hops"][-1]


def test_packet_too_big_of_ipv6_has_its_mtu() -> None:
    (row,) = lines("scamper", CASES["ipv6"])
    last = row["hops"][-1]
    assert (last["icmp_type"], last["icmp_code"], last["icmp_nhmtu"]) == (2, 0, 1400)
