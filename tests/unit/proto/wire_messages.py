"""Messages for the tests of the codec: hypothesis strategies, and small protobuf messages."""

from typing import Any

from colotrace_proto import messages as m
from colotrace_proto.locations import Location
from colotrace_proto.notices import Notice, NoticeCode
from colotrace_proto.tags import MAX_TAGS, Tag
from colotrace_proto.v1 import fleet_pb2 as pb
from hypothesis import strategies as st

IDENTIFIERS = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
JOB_IDS = IDENTIFIERS.map(m.JobId)
# Printable, as what has been decoded always is.
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=80).map(
    lambda text: "".join(c for c in text if c.isprintable())
)
UINT32 = st.integers(0, 2**32 - 1)
ADDRESSES = st.sampled_from([4, 16]).flatmap(lambda n: st.binary(min_size=n, max_size=n))
PROBED = st.sets(st.sampled_from(list(m.PacketType)))


@st.composite
def replies(draw: st.DrawFn) -> m.Replies:
    """Columns of one length that count into their nodes."""
    labels = st.lists(TEXTS.filter(lambda text: len(text) <= m.MAX_LABEL), max_size=3).map(tuple)
    nodes = st.builds(m.Node, ADDRESSES, st.sampled_from(m.NodeKind), labels)
    lines = draw(st.lists(nodes, max_size=5))
    count = draw(st.integers(len(lines), 20)) if lines else 0

    def column(least: int, most: int) -> tuple[int, ...]:
        numbers = st.integers(least, most)
        return tuple(draw(st.lists(numbers, min_size=count, max_size=count)))

    node = column(0, len(lines) - 1) if lines else ()
    ttl, rtt_ns = column(1, m.MAX_TTL), column(0, m.MAX_RTT_NS)
    if draw(st.booleans()):  # an agent of release 0.2
        return m.Replies(ttl, rtt_ns, node, tuple(lines))
    ordinal, flow = column(0, m.MAX_PROBES - 1), column(0, m.MAX_JOB_PROBES - 1)
    return m.Replies(ttl, rtt_ns, node, tuple(lines), ordinal, flow)


PORTS = st.integers(0, m.MAX_PORT)
FLOWS = st.builds(
    m.FlowFields,
    packet_type=st.none() | st.sampled_from(m.PacketType),
    number=UINT32,
    source_port=PORTS,
    destination_port=PORTS,
    identifier=UINT32,
    flow_label=st.integers(0, m.MAX_FLOW_LABEL),
)


TTLS = st.integers(1, m.MAX_TTL)
# Codes of a newer peer among them.
NOTICES = st.builds(
    Notice,
    code=st.sampled_from(NoticeCode) | UINT32,
    ttls=st.lists(TTLS, max_size=5).map(tuple),
    addresses=st.lists(ADDRESSES, max_size=5).map(tuple),
    count=st.integers(0, 2**64 - 1),
    least=UINT32,
    most=UINT32,
    name=TEXTS,
    reason=TEXTS,
    families=st.sampled_from([(), (4,), (6,), (4, 6)]),
    errors=st.lists(st.tuples(st.integers(1, 4_095), UINT32), max_size=3).map(tuple),
    packet_type=st.sampled_from(["", *m.PacketType]),
)
OUTCOMES = st.builds(
    m.Outcome,
    failure=st.sampled_from(m.Failure),
    cause=st.none() | NOTICES,
    duration_ns=st.integers(0, 2**63),
    notices=st.lists(NOTICES, max_size=3).map(tuple),
    duplicates=UINT32,
    late=UINT32,
    foreign=UINT32,
    ambiguous=UINT32,
    links=st.lists(
        st.builds(m.Edge, st.integers(1, m.MAX_TTL - 1), ADDRESSES, ADDRESSES, UINT32), max_size=3
    ).map(tuple),
)
HELLOS = st.builds(
    m.Hello,
    agent_id=IDENTIFIERS.map(m.AgentId),
    boot_id=st.binary(min_size=16, max_size=16),
    colo=st.from_regex(r"[a-z]{3,8}[0-9]{1,4}", fullmatch=True).map(m.ColoName),
    city=TEXTS,
    families=st.sets(st.sampled_from(m.Family)).map(frozenset),
    packet_types=PROBED.map(frozenset),
    software_version=TEXTS.map(lambda text: text[:64]),
    max_jobs=UINT32,
    held_jobs=st.lists(JOB_IDS, max_size=5).map(tuple),
    protocol_version=st.integers(1, 99),
    tags=st.dictionaries(
        st.from_regex(r"[a-z0-9._-]{1,32}", fullmatch=True),
        st.from_regex(r"[A-Za-z0-9._:/@+-]{1,64}", fullmatch=True),
        max_size=MAX_TAGS,
    ).map(lambda tags: frozenset(map(Tag._make, tags.items()))),
    location=st.none() | st.builds(Location, st.floats(-90, 90), st.floats(-180, 180)),
    host=TEXTS.map(lambda text: text[: m.MAX_HOST]),
)
COUNTERS = st.builds(m.Counters, sent=st.integers(0, 2**64 - 1), late=st.integers(0, 2**64 - 1))
USAGES = st.builds(
    m.Usage,
    cpu_millis=st.integers(0, m.MAX_CPU_MILLIS),
    memory_bytes=st.integers(0, m.MAX_MEMORY_BYTES),
)
HEARTBEATS = st.builds(m.Heartbeat, UINT32, COUNTERS, st.none() | USAGES)
PRESENCES = st.builds(
    m.Presence,
    hello=HELLOS,
    started_ms=st.integers(0, 2**64 - 1),
    draining=st.booleans(),
    heartbeat=HEARTBEATS,
)
FROM_AGENT = st.one_of(
    HELLOS,
    HEARTBEATS,
    st.just(m.Draining()),
    st.builds(m.Capabilities, st.sets(st.sampled_from(m.Family)).map(frozenset)),
    st.builds(m.Accepted, JOB_IDS),
    st.builds(m.Refused, JOB_IDS, st.sampled_from(m.RefusalReason), st.none() | NOTICES),
    st.builds(
        m.Frame,
        job_id=JOB_IDS,
        sequence=st.integers(1, 2**32 - 1),
        target_address=ADDRESSES | st.just(b""),
        sent=st.lists(st.integers(0, m.MAX_JOB_PROBES), max_size=m.MAX_TTL).map(tuple),
        replies=replies(),
        outcome=st.none() | OUTCOMES,
        source_address=ADDRESSES | st.just(b""),
        flows=st.lists(FLOWS, max_size=3).map(tuple),
    ),
)
ACKS = st.builds(m.Ack, JOB_IDS, UINT32)
WHERE = st.sampled_from(["", "10.0.0.1:50051", "[::1]:443", "c1.example.net:1"])
JOBS = st.builds(
    m.Job,
    job_id=JOB_IDS,
    target=st.text(st.characters(codec="utf-8"), min_size=1, max_size=m.MAX_TARGET),
    packet_type=st.sampled_from(m.PacketType),
    max_ttl=st.integers(1, m.MAX_TTL),
    packets_per_ttl=st.integers(1, m.MAX_PACKETS_PER_TTL),
    wait_ms=st.integers(1, m.MAX_WAIT_MS),
    port=st.integers(0, 65_535),
    flow=UINT32,
    remaining_ms=st.integers(0, m.MAX_REMAINING_MS),
    multipath=st.booleans(),
    reply_to=WHERE,
    owner=st.none() | st.builds(m.Owner, account=UINT32, caller=UINT32),
    family=st.none() | st.sampled_from(m.Family),
)
FROM_COORDINATOR = st.one_of(
    st.builds(
        m.Welcome,
        coordinator_id=st.binary(min_size=16, max_size=16),
        heartbeat_ms=st.integers(100, 600_000),
        wanted_jobs=st.lists(ACKS, max_size=5).map(tuple),
        protocol_version=st.integers(1, 99),
    ),
    st.just(m.Heartbeat()),
    JOBS,
    st.builds(m.Cancel, JOB_IDS),
    st.just(m.Renamed()),
    ACKS,
)


def hello() -> pb.Hello:
    return pb.Hello(protocol_version=1, agent_id="a", boot_id=bytes(16), colo="den01")


def node(**fields: Any) -> bytes:
    return pb.Node(**fields).SerializeToString()


def frame() -> pb.Frame:
    out = pb.Frame(job_id="a", sequence=1, ttl=[1, 2], rtt_ns=[5, 6], node=[0, 0])
    out.nodes.append(node(address=bytes(4)))
    return out
