"""Text as a parser of traceroute's output reads it (jc)."""

import re

import jc
import pytest
from colotrace_proto.measured import Measured

from .samples import CASES, EVIL, MULTIPATH, evil, measured, plain, trace, written


def read(what: Measured) -> list[dict]:
    blocks = re.split(r"\n\n(?=traceroute to )", written("text", what))
    return [jc.parse("traceroute", block, quiet=True) for block in blocks]


def test_blocks_are_read_as_traceroutes_own() -> None:
    den, sin = read(plain())
    assert (den["destination_name"], den["destination_ip"]) == ("www.example", "203.0.113.9")
    assert (den["max_hops"], den["data_bytes"]) == (8, 44)
    assert [hop["hop"] for hop in den["hops"]] == [1, 2, 3, 4]
    assert [probe["rtt"] for probe in den["hops"][0]["probes"]] == [0.345, 0.312, 0.3]
    assert {probe["name"] for probe in den["hops"][0]["probes"]} == {"gw.den.example"}
    answered = [(probe["ip"], probe["asn"], probe["rtt"]) for probe in den["hops"][2]["probes"]]
    assert answered[:2] == [("192.0.2.2", 64500, 10.25), ("192.0.2.3", None, 11.5)]
    assert sin["hops"][2]["probes"][0]["annotation"] == "!X"


def test_ipv6_is_read_too() -> None:
    (block,) = read(CASES["ipv6"])
    assert block["destination_ip"] == "2001:db8:9::9"
    assert block["hops"][0]["probes"][0]["ip"] == "2001:db8::1"
    assert block["hops"][1]["probes"][0]["annotation"] == "!F-1400"


@pytest.mark.parametrize("text", [*EVIL, 'INC:1,"x:y (192.0.2.99)  1 ms'], ids=repr)
def test_text_cannot_pose_as_an_answer(text: str) -> None:
    (block,) = read(evil(text))
    found = {probe["ip"] for hop in block["hops"] for probe in hop["probes"]}
    assert found <= {"192.0.2.1", "192.0.2.2", "203.0.113.9", None}
    assert [hop["hop"] for hop in block["hops"]] == [1, 2]


def test_note_cannot_pose_as_a_hop() -> None:
    (block,) = read(measured({0: trace("T1", remarks=[" 2  192.0.2.9 (192.0.2.9)  1 ms"])}))
    assert len(block["hops"]) == 1


def test_address_of_several_flows_has_all_its_times() -> None:
    flows = [("b1 b2",), ("a3 a4",), ("b5 b6",)]
    text = written("text", measured({0: trace(several=flows)}, options=MULTIPATH)).splitlines()
    assert text[1] == (
        " 1  192.0.2.1 (192.0.2.1)  3.000 ms  4.000 ms"
        " 192.0.2.2 (192.0.2.2)  1.000 ms  2.000 ms  5.000 ms  6.000 ms"
    )


def test_silent_hop_has_a_star_for_each_probe() -> None:
    text = written("text", CASES["silent"]).splitlines()
    assert text[1:] == [" 1  * * *", " 2  * * *"]
    assert written("text", CASES["not probed"]).splitlines()[2] == " 2  *"


def test_row_without_an_address_has_its_error() -> None:
    heading, *rest = written("text", CASES["unresolved"]).splitlines()
    assert heading.startswith("traceroute to nosuch.example, 15 hops max")
    assert rest == ["Could not gather traceroute data: Code 3", "note: the name does not exist"]


def test_answers_without_a_hop_are_told_if_there_are_no_others() -> None:
    told = "203.0.113.9 answered, without telling at which hop"
    assert told in written("text", CASES["unplaced"])
    assert told not in written("text", measured({0: trace("a1", "T2", unplaced=4)}))
