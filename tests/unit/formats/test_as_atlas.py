"""Results as RIPE NCC's own library reads them (ripe.atlas.sagan)."""

import pytest
from ripe.atlas.sagan import Result

from .samples import CASES, lines, measured, plain, trace, written


def test_results_are_read() -> None:
    den, sin = (Result.get(line) for line in written("atlas", plain()).splitlines())
    assert (den.type, den.af, den.protocol, den.size) == ("traceroute", 4, "ICMP", 24)
    assert (den.destination_name, den.destination_address) == ("www.example", "203.0.113.9")
    assert (den.source_address, den.origin) == ("198.51.100.7", "198.51.100.7")
    assert (den.created_timestamp, den.end_time_timestamp) == (1_795_898_784, 1_795_898_785)
    assert (den.is_success, den.destination_ip_responded, den.total_hops) == (True, True, 4)
    assert den.ip_path[2] == ["192.0.2.2", "192.0.2.3", None]
    assert den.last_median_rtt == 12.5
    assert not sin.destination_ip_responded
    assert sin.last_hop_errors == ["Administratively prohibited"]
    entries = sin.hops[1].packets[0].icmp_header.objects[0]["mpls"]
    assert entries == [{"label": 24015, "exp": 0, "s": 1, "ttl": 1}]
    assert den.measurement_id == sin.measurement_id
    assert den.probe_id != sin.probe_id


def test_numbers_are_none_of_ripes_and_exact_in_javascript() -> None:
    for result in lines("atlas", plain()):
        assert 2**32 <= result["prb_id"] < 2**53
        assert 2**32 <= result["msm_id"] < 2**53


@pytest.mark.parametrize("case", [each for each in CASES if each != "combined"])
def test_whatever_lacks_is_well_formed(case: str) -> None:
    """GRE is no protocol of RIPE Atlas: the library calls it malformed."""
    for line in written("atlas", CASES[case]).splitlines():
        result = Result.get(line, on_malformation=Result.ACTION_FAIL, on_error=Result.ACTION_IGNORE)
        assert not result.is_malformed


def test_errors_are_told() -> None:
    unresolved, lost = lines("atlas", CASES["unresolved"]), lines("atlas", CASES["lost agent"])
    reason = "Could not gather traceroute data: Code 3; the name does not exist"
    assert unresolved[0]["result"] == [{"error": reason}]
    assert "dst_addr" not in unresolved[0]
    assert lost[0]["result"][-1] == {"hop": 3, "error": "Could not gather traceroute data: Code 2"}


def test_mtu_code_and_quoted_ttl_are_told() -> None:
    row = trace("a1", "b2", "c!3", labels={"a": ["QTTL=3"], "b": ["!<10>"], "c": ["!F-1400"]})
    (result,) = lines("atlas", measured({0: row}))
    hops = [hop["result"][0] for hop in result["result"]]
    assert hops[0]["ittl"] == 3
    assert hops[1]["err"] == 10
    assert hops[2]["mtu"] == 1400
