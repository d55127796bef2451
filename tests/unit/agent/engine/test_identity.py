"""Which flow a trace gets, and that no two share one."""

import dataclasses

import pytest
from colotrace_agent.engine.identity import QUARANTINE_NS, Identities, NoFlowLeftError
from colotrace_agent.model import PORTS, Flow, FlowKey, TraceSpec
from colotrace_agent.packets.formats import keys_of, number_of
from colotrace_proto.messages import MAX_WAIT_MS, PacketType
from unit.agent.made import SECRET, SOURCE, TARGET, TYPES

UNTOLD = [TraceSpec(TARGET, PacketType.GRE), TraceSpec(TARGET, PacketType.ICMP, port=7)]
"""Traces of which an answer to one may be taken for an answer to the next."""


@pytest.mark.parametrize("packet_type", TYPES)
def test_no_two_running_traces_share_a_flow(packet_type: PacketType) -> None:
    identities, spec = made(), TraceSpec(TARGET, packet_type)
    taken = [allocate(identities, spec) for _ in range(100)]
    assert len({flow.key for flow in taken}) == 100


@pytest.mark.parametrize("packet_type", [PacketType.ICMP, PacketType.UDP, PacketType.TCP])
def test_next_trace_gets_the_same_flow_at_once(packet_type: PacketType) -> None:
    """So that the two can be compared; its keyed fields and its numbers are others."""
    identities, spec = made(), TraceSpec(TARGET, packet_type)
    first = allocate(identities, spec)
    identities.release(first, 0)
    second = allocate(identities, spec)
    assert second.key == first.key
    assert second.marks != first.marks
    assert second.first_number != first.first_number
    assert not identities.is_released(first.key, 0)
    identities.release(second, 5)
    assert identities.is_released(first.key, QUARANTINE_NS + 4)


def test_flows_of_other_numbers_stay_different_one_after_the_other() -> None:
    """Although the first was moved to the place of the second, since its own port was in use."""
    identities, spec = made(), TraceSpec(TARGET, PacketType.UDP)
    own = allocate(made(), spec).identifier
    first = identities.allocate(spec, SOURCE, reserve=lambda port: port != own, now=0)
    identities.release(first, 0)
    second = allocate(identities, dataclasses.replace(spec, flow=1))
    assert first.identifier == own + 1
    assert second.identifier == own + 2


@pytest.mark.parametrize("spec", UNTOLD, ids=["gre", "icmp with a port"])
def test_flow_is_quarantined_if_traces_are_not_told_apart(spec: TraceSpec) -> None:
    """While an answer to it may be under way."""
    identities = made()
    taken = [allocate(identities, spec) for _ in range(100)]
    assert len({flow.key for flow in taken}) == 100
    for flow in taken:
        identities.release(flow, 0)
    later = [allocate(identities, spec, now=QUARANTINE_NS - 1) for _ in range(100)]
    assert not {flow.key for flow in later} & {flow.key for flow in taken}
    assert allocate(identities, spec, now=QUARANTINE_NS).key in {flow.key for flow in taken}


def test_quarantine_outlasts_the_longest_wait() -> None:
    """So that a late answer never meets a newer trace."""
    assert QUARANTINE_NS > MAX_WAIT_MS * 1_000_000


def test_released_flow_is_known_until_the_end_of_its_quarantine() -> None:
    """An answer to it is late, not foreign."""
    identities, spec = made(), TraceSpec(TARGET)
    flow = allocate(identities, spec)
    assert not identities.is_released(flow.key, 0)
    identities.release(flow, 0)
    assert identities.is_released(flow.key, QUARANTINE_NS - 1)
    assert not identities.is_released(flow.key, QUARANTINE_NS)


def test_same_target_and_number_give_the_same_flow() -> None:
    """Another number gives another flow."""
    spec = TraceSpec(TARGET, PacketType.UDP)
    again = allocate(made(), spec)
    assert allocate(made(), spec).key == again.key
    assert allocate(made(), dataclasses.replace(spec, flow=1)).key != again.key


def test_other_secret_gives_other_flows() -> None:
    """Each host has its own secret."""
    spec = TraceSpec(TARGET)
    ours, theirs = (Identities(secret=SECRET, flow_secret=key) for key in (b"a", b"b"))
    assert allocate(ours, spec).key != allocate(theirs, spec).key


def test_gre_flow_takes_the_identifier_of_its_echo_request_too() -> None:
    """A target that unpacks the probe answers the echo request inside."""
    flow = allocate(made(), TraceSpec(TARGET, PacketType.GRE))
    assert keys_of(flow.key) == (
        flow.key,
        FlowKey(PacketType.ICMP, TARGET, flow.identifier & 0xFFFF, 0),
    )


def test_no_two_traces_have_the_same_marks() -> None:
    """Even if one gets the flow of the other after its end."""
    identities, spec = made(), TraceSpec(TARGET)
    first = allocate(identities, spec)
    identities.release(first, 0)
    second = allocate(identities, spec, now=QUARANTINE_NS)
    assert first.key == second.key
    assert first.marks != second.marks


def test_error_if_no_flow_is_left() -> None:
    """A port that the host reserves is not taken, and the search ends."""
    with pytest.raises(NoFlowLeftError):
        made().allocate(TraceSpec(TARGET, PacketType.TCP), SOURCE, reserve=refuse, now=0)


def test_source_ports_are_below_the_ephemeral_range() -> None:
    """Linux assigns ports from 32768 itself."""
    flow = allocate(made(), TraceSpec(TARGET, PacketType.TCP))
    assert flow.identifier in PORTS
    assert max(PORTS) < 32_768


@pytest.mark.parametrize(
    ("packet_type", "port", "sent"),
    [(PacketType.UDP, 0, 33_434), (PacketType.TCP, 0, 80), (PacketType.TCP, 443, 443)],
)
def test_destination_port_defaults_by_type(packet_type: PacketType, port: int, sent: int) -> None:
    """0 leaves the choice to the agent."""
    assert allocate(made(), TraceSpec(TARGET, packet_type, port=port)).port == sent


def test_port_of_icmp_is_the_first_sequence_number() -> None:
    """Also the last one: the next number is 0."""
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
