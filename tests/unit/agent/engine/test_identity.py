"""Which probe an answer is for, and that no two traces share a flow."""

import dataclasses

import pytest
from colotrace_agent.engine.identity import (
    PORTS,
    QUARANTINE_NS,
    Identities,
    NoFlowLeftError,
    index_of,
    ip_id_of,
    number_of,
)
from colotrace_agent.model import AnswerKind, Flow, Heard, TraceSpec
from colotrace_proto.messages import MAX_PROBES, MAX_WAIT_MS, PacketType
from hypothesis import given
from hypothesis import strategies as st

SOURCE, TARGET, ROUTER = bytes([192, 0, 2, 1]), bytes([203, 0, 113, 9]), bytes([198, 18, 1, 1])
TYPES = [PacketType.ICMP, PacketType.UDP, PacketType.TCP]
SPACE = {PacketType.ICMP: 1 << 16, PacketType.UDP: 0xFFFE, PacketType.TCP: 1 << 32}


@st.composite
def flows(draw: st.DrawFn, packet_type: PacketType | None = None) -> Flow:
    """Any flow that the allocator could give."""
    kind = packet_type or draw(st.sampled_from(TYPES))
    first = draw(st.integers(0, SPACE[kind] - 1))
    return Flow(
        packet_type=kind,
        source=SOURCE,
        target=TARGET,
        identifier=20_000,
        port=33_434,
        first_number=first + 1 if kind is PacketType.UDP else first,
        first_ip_id=draw(st.integers(1, 0xFFFF)),
    )


def quoting(
    flow: Flow, *, number: int | None, ip_id: int | None = None, source: bytes = SOURCE
) -> Heard:
    """Time exceeded that quotes these numbers."""
    return Heard(AnswerKind.TIME_EXCEEDED, ROUTER, flow.key, number, ip_id, source)


COUNTS = st.integers(1, MAX_PROBES)


@given(flows(), COUNTS, st.data())
def test_a_probes_number_finds_it(flow: Flow, count: int, data: st.DataObject) -> None:
    """Wherever the numbers begin, and also where they wrap."""
    index = data.draw(st.integers(0, count - 1))
    assert index_of(flow, quoting(flow, number=number_of(flow, index)), count) == index


@given(flows(), COUNTS, st.data())
def test_a_number_that_no_probe_has_finds_none(flow: Flow, count: int, data: st.DataObject) -> None:
    """Not a neighbour, not one of the field's other values; the IP ID does not overrule it."""
    bits = 32 if flow.packet_type is PacketType.TCP else 16
    taken = {number_of(flow, index) for index in range(count)}
    near = [
        number_of(flow, count),
        number_of(flow, SPACE[flow.packet_type] - 1),
        0,
        (1 << bits) - 1,
    ]
    number = data.draw(st.one_of(st.sampled_from(near), st.integers(0, (1 << bits) - 1)))
    heard = quoting(flow, number=number)
    assert (index_of(flow, heard, count) is None) == (number not in taken)


@given(flows())
def test_numbers_and_ip_ids_of_a_trace_differ(flow: Flow) -> None:
    """One identity a packet; never one that the wire cannot carry."""
    numbers = [number_of(flow, index) for index in range(MAX_PROBES)]
    ip_ids = [ip_id_of(flow, index) for index in range(MAX_PROBES)]
    assert len(set(numbers)) == len(set(ip_ids)) == MAX_PROBES
    assert 0 not in ip_ids
    if flow.packet_type is PacketType.UDP:
        assert not {0, 0xFFFF} & set(numbers)


@given(flows(), st.sampled_from([0, 1, -1]), st.data())
def test_a_missing_number_is_made_up_for_by_the_ip_id(
    flow: Flow, off_by: int, data: st.DataObject
) -> None:
    """As it was sent, one too high or one too low: the probe's own, never its neighbour's."""
    index = data.draw(st.integers(0, MAX_PROBES - 1))
    ip_id = ip_id_of(flow, index) + off_by
    if 0 < ip_id < 0x10000 and not _reads_as_another(flow, ip_id):
        assert index_of(flow, quoting(flow, number=None, ip_id=ip_id), MAX_PROBES) == index


def _reads_as_another(flow: Flow, ip_id: int) -> bool:
    """A swapped reading may hit another probe's: it comes after the plain one."""
    swapped = (ip_id & 0xFF) << 8 | ip_id >> 8
    ids = {ip_id_of(flow, index) for index in range(MAX_PROBES)}
    return ip_id not in ids and swapped in ids


def test_a_byte_swapped_ip_id_is_understood() -> None:
    """Some routers quote it in their own byte order."""
    flow = Flow(PacketType.UDP, SOURCE, TARGET, 20_000, 33_434, 1, 0x1234)
    assert index_of(flow, quoting(flow, number=None, ip_id=0x3412), 10) == 0
    assert index_of(flow, quoting(flow, number=None, ip_id=0x3A12), 10) == 2


def test_no_number_and_no_ip_id_find_nothing() -> None:
    """A quoted 0 means: use another key."""
    flow = Flow(PacketType.UDP, SOURCE, TARGET, 20_000, 33_434, 1, 1)
    assert index_of(flow, quoting(flow, number=None, ip_id=0), 10) is None
    assert index_of(flow, quoting(flow, number=None), 10) is None


@given(flows(PacketType.UDP), st.binary(min_size=4, max_size=4), st.data())
def test_a_translated_udp_checksum_is_put_back(
    flow: Flow, translated: bytes, data: st.DataObject
) -> None:
    """A translator changes the checksum by just what it changes of the source (RFC 1624)."""
    index = data.draw(st.integers(0, 99))
    change = int.from_bytes(translated, "big") - int.from_bytes(SOURCE, "big")
    number = (number_of(flow, index) - change) % 0xFFFF or 0xFFFF
    assert index_of(flow, quoting(flow, number=number, source=translated), 100) == index


def test_a_garbled_udp_checksum_leaves_the_ip_id() -> None:
    """But only as it was sent: what is wrong twice is nobody's."""
    flow = Flow(PacketType.UDP, SOURCE, TARGET, 20_000, 33_434, 1, 1_000)
    assert index_of(flow, quoting(flow, number=9_999, ip_id=1_003), 10) == 1
    assert index_of(flow, quoting(flow, number=9_999, ip_id=1_004), 10) is None


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
    assert not identities.is_released(flow.key)
    identities.release(flow, 0)
    assert identities.is_released(flow.key)
    allocate(identities, spec, now=QUARANTINE_NS)
    assert not identities.is_released(flow.key)


def test_the_same_flow_is_had_again() -> None:
    """Target and flow number decide the fields; another number has others."""
    spec = TraceSpec(TARGET, PacketType.UDP)
    again = allocate(made(), spec)
    assert allocate(made(), spec).key == again.key
    assert allocate(made(), dataclasses.replace(spec, flow=1)).key != again.key


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
    assert index_of(flow, quoting(flow, number=1), 3) == 2


def made() -> Identities:
    """Identities whose numbers begin in the middle."""
    return Identities(lambda below: below // 2)


def allocate(identities: Identities, spec: TraceSpec, *, now: int = 0) -> Flow:
    """A flow where every port is free."""
    return identities.allocate(spec, SOURCE, reserve=accept, now=now)


def accept(_port: int) -> bool:
    """Every port is free."""
    return True


def refuse(_port: int) -> bool:
    """No port is."""
    return False
