"""Batches: what is due together, in one message."""

import pytest
from colotrace_proto import codec
from colotrace_proto import messages as m
from colotrace_proto.codec import batches
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.v1 import fleet_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

IDS = st.text("abc019._-", min_size=1, max_size=8).map(m.JobId)
JOBS = st.builds(
    m.Job,
    job_id=IDS,
    target=st.text(min_size=1, max_size=10),
    packet_type=st.sampled_from(m.PacketType),
    max_ttl=st.sampled_from([15, 30]),
    packets_per_ttl=st.just(3),
    wait_ms=st.just(1_000),
    port=st.sampled_from([0, 443]),
    flow=st.just(0),
    remaining_ms=st.sampled_from([1_000, 2_000]),
)
ORDERS = JOBS | st.builds(m.Cancel, IDS) | st.builds(m.Ack, IDS, st.integers(1, 9))


@given(st.lists(ORDERS, min_size=1, max_size=20))
def test_orders_of_a_coordinator_arrive(orders: list[batches.Order]) -> None:
    """All of them; jobs before cancels before acknowledgements, jobs of equal options together."""
    wire = batches.coordinator_batch(orders).SerializeToString()
    arrived = codec.all_from_coordinator(pb.CoordinatorMessage.FromString(wire))
    assert sorted(map(repr, arrived)) == sorted(map(repr, orders))
    kinds = [type(order) for order in arrived]
    assert kinds == sorted(kinds, key=[m.Job, m.Cancel, m.Ack].index)
    for kind in (m.Cancel, m.Ack):
        assert [o for o in arrived if type(o) is kind] == [o for o in orders if type(o) is kind]


def test_options_travel_once() -> None:
    """A further job of the same options costs its id and target."""
    job = m.Job(m.JobId("a" * 16), "192.0.2.1", m.PacketType.ICMP, 15, 3, 1_000, 0, 0, 9_000)
    sizes = [batches.coordinator_batch([job] * count).ByteSize() for count in (1, 2, 3)]
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0] == len(job.job_id) + len(job.target) + 4


def test_jobs_of_different_owners_keep_them() -> None:
    job = m.Job(m.JobId("a"), "192.0.2.1", m.PacketType.ICMP, 15, 3, 1_000, 0, 0, 9_000)
    jobs = [replace(job, owner=owner) for owner in (None, m.Owner(1, 1), m.Owner(1, 2))]
    wire = batches.coordinator_batch(jobs)
    assert len(wire.batch.jobs) == 3
    assert codec.all_from_coordinator(wire) == jobs


@given(st.lists(IDS, min_size=1, max_size=20))
def test_messages_of_an_agent_arrive_in_order(ids: list[m.JobId]) -> None:
    sent: list[m.FromAgent] = [m.Accepted(job_id) for job_id in ids]
    wire = batches.agent_batch(map(codec.encode_from_agent, sent)).SerializeToString()
    parts = batches.split_agent_batch(wire)
    assert [codec.parse_from_agent(part) for part in parts] == sent


def test_single_message_is_not_split() -> None:
    wire = codec.encode_from_agent(m.Draining()).SerializeToString()
    assert batches.split_agent_batch(wire) == (wire,)


DRAINING = codec.encode_from_agent(m.Draining())


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [DRAINING] * (batches.MAX_MESSAGES + 1),
        [batches.agent_batch([DRAINING])],
    ],
    ids=["empty", "too long", "nested"],
)
def test_invalid_batch_of_an_agent(messages: list[pb.AgentMessage]) -> None:
    with pytest.raises(ProtocolError):
        batches.split_agent_batch(batches.agent_batch(messages).SerializeToString())


def test_batch_of_random_bytes() -> None:
    with pytest.raises(ProtocolError):
        batches.split_agent_batch(bytes([8 << 3 | 2, 200, 1]))


@pytest.mark.parametrize(
    "batch",
    [
        pb.CoordinatorBatch(acks=[pb.Ack(job_id="a", sequence=1)] * (batches.MAX_ORDERS + 1)),
        pb.CoordinatorBatch(jobs=[pb.Jobs(job_ids=["a", "b"], targets=["192.0.2.1"])]),
        pb.CoordinatorBatch(cancels=[pb.Cancel(job_id="a b")]),
    ],
    ids=["too long", "columns of two lengths", "a wrong id"],
)
def test_invalid_batch_of_a_coordinator(batch: pb.CoordinatorBatch) -> None:
    with pytest.raises(ProtocolError):
        codec.all_from_coordinator(pb.CoordinatorMessage(batch=batch))


def test_unknown_option_refuses_every_job_of_it() -> None:
    """Each of them can be refused by its own id."""
    jobs = pb.Jobs(options=pb.Job(max_ttl=99), job_ids=["a", "b"], targets=["192.0.2.1"] * 2)
    batch = pb.CoordinatorMessage(batch=pb.CoordinatorBatch(jobs=[jobs]))
    unknown = codec.all_from_coordinator(batch)
    assert [type(job) for job in unknown] == [m.UnknownJob] * 2
    assert [job.job_id for job in unknown if isinstance(job, m.UnknownJob)] == ["a", "b"]
