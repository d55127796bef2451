"""Which flow a trace gets, and that no two share one."""

import dataclasses

import pytest
from colotrace_agent.engine.identity import QUARANTINE_NS, Identities, NoFlowLeftError
from colotrace_agent.model import PORTS, Flow, FlowKey, TraceSpec
from colotrace_agent.packets.formats import keys_of, number_of
from colotrace_proto.messages import MAX_WAIT_MS, PacketType
from unit.agent.made import SECRET, SOURCE, TARGET, TYPES


@pytest.mark.parametrize("packet_type", TYPES)
def test_no_flow_is_given_twice(packet_type: PacketType) -> None:
    """Neither while it is taken nor while an answer to it may be under way."""
    identities, spec = made(), TraceSpec(TARGET, packet_type)
    taken = [allocate(identities, spec) for _ in range(100)]
    assert len({flow.key for flow in taken}) == 100
    for flow in taken:
        identities.release(flow, 0)
    later = [allocate(identities, spec, now=QUARANTINE_NS - 1) for _ in range(100)]
    assert not {flow.key for flow in later} & {flow.key for flow in taken}
    assert allocate(identities, spec, now=QUARANTINE_NS).key in {flow.key for flow in taken}


def test_the_rest_outlives_the_longest_wait() -> None:
    """So a late answer never meets a newer trace."""
    assert QUARANTINE_NS > MAX_WAIT_MS * 1_000_000


def test_an_ended_traces_flow_is_known_for_a_while() -> None:
    """An answer to it is late, not a stranger's."""
    identities, spec = made(), TraceSpec(TARGET)
    flow = allocate(identities, spec)
    assert not identities.is_released(flow.key, 0)
    identities.release(flow, 0)
    assert identities.is_released(flow.key, QUARANTINE_NS - 1)
    assert not identities.is_released(flow.key, QUARANTINE_NS)


def test_the_same_flow_is_had_again() -> None:
    """Target and flow number decide the fields; another number has others."""
    spec = TraceSpec(TARGET, PacketType.UDP)
    again = allocate(made(), spec)
    assert allocate(made(), spec).key == again.key
    assert allocate(made(), dataclasses.replace(spec, flow=1)).key != again.key


def test_another_host_has_other_flows() -> None:
    """What chooses them is a secret that the host keeps."""
    spec = TraceSpec(TARGET)
    ours, theirs = (Identities(secret=SECRET, flow_secret=key) for key in (b"a", b"b"))
    assert allocate(ours, spec).key != allocate(theirs, spec).key


def test_a_gre_flow_takes_its_echo_requests_identifier_too() -> None:
    """Whoever unpacks the probe answers to the echo request inside."""
    flow = allocate(made(), TraceSpec(TARGET, PacketType.GRE))
    assert keys_of(flow.key) == (
        flow.key,
        FlowKey(PacketType.ICMP, TARGET, flow.identifier & 0xFFFF, 0),
    )


def test_no_two_traces_have_the_same_marks() -> None:
    """Not even when one has the other's flow after it."""
    identities, spec = made(), TraceSpec(TARGET)
    first = allocate(identities, spec)
    identities.release(first, 0)
    second = allocate(identities, spec, now=QUARANTINE_NS)
    assert first.key == second.key
    assert first.marks != second.marks


def test_flows_run_out_with_a_word() -> None:
    """A port that the host keeps for itself is not taken, and the search ends."""
    with pytest.raises(NoFlowLeftError):
        made().allocate(TraceSpec(TARGET, PacketType.TCP), SOURCE, reserve=refuse, now=0)


def test_source_ports_stay_below_the_hosts_own() -> None:
    """Linux gives out 32768 and up by itself."""
    flow = allocate(made(), TraceSpec(TARGET, PacketType.TCP))
    assert flow.identifier in PORTS
    assert max(PORTS) < 32_768


@pytest.mark.parametrize(
    ("packet_type", "port", "sent"),
    [(PacketType.UDP, 0, 33_434), (PacketType.TCP, 0, 80), (PacketType.TCP, 443, 443)],
)
def test_the_destination_port_is_the_callers_or_the_usual(
    packet_type: PacketType, port: int, sent: int
) -> None:
    """0 leaves the choice to the agent."""
    assert allocate(made(), TraceSpec(TARGET, packet_type, port=port)).port == sent


def test_an_icmp_port_is_the_first_sequence_number() -> None:
    """Also the last there is: the next one is 0."""
    flow = allocate(made(), TraceSpec(TARGET, port=65_535))
    assert flow.port == 0
    assert [number_of(flow, index) for index in range(3)] == [65_535, 0, 1]


def made() -> Identities:
    """Identities under one secret."""
    return Identities(secret=SECRET)


def allocate(identities: Identities, spec: TraceSpec, *, now: int = 0) -> Flow:
    """A flow where every port is free."""
    return identities.allocate(spec, SOURCE, reserve=accept, now=now)


def accept(_port: int) -> bool:
    """Every port is free."""
    return True


def refuse(_port: int) -> bool:
    """No port is."""
    return False
