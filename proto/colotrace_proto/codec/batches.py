"""Messages that are due together travel as one: each gRPC message costs some 80 µs of CPU time.

Both sides must have version 2 of the protocol; see `BATCHES_SINCE`.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter

from google.protobuf.message import DecodeError
from msgspec.structs import replace

from colotrace_proto import messages as m
from colotrace_proto.v1 import fleet_pb2 as pb

from .checks import ProtocolError
from .jobs import ack_in, cancel_in, job_in, job_out

BATCHES_SINCE = 2
"""The protocol's first version with batches."""
MAX_MESSAGES = 256
"""Messages in an agent's batch."""
MAX_ORDERS = 1_024
"""Jobs, cancels and acknowledgements in a coordinator's batch."""
_BATCH_TAG = bytes([pb.AgentMessage.BATCH_FIELD_NUMBER << 3 | 2])

_options = attrgetter(
    *(name for name in m.Job.__struct_fields__ if name not in ("job_id", "target"))
)
"""All of a job but its id and target."""

Order = m.Job | m.Cancel | m.Ack
"""A message of a coordinator that can be part of a batch."""


def agent_batch(messages: Iterable[pb.AgentMessage]) -> pb.AgentMessage:
    """One message with the given ones, at most `MAX_MESSAGES`."""
    encoded = [message.SerializeToString() for message in messages]
    return pb.AgentMessage(batch=pb.AgentBatch(messages=encoded))


def split_agent_batch(payload: bytes) -> Sequence[bytes]:
    """The encoded messages of an agent's message: itself if it is no batch.

    Raises:
        ProtocolError: the batch is empty, too long, or has a batch in it.
    """
    if payload[:1] != _BATCH_TAG:
        return (payload,)
    try:
        messages = pb.AgentMessage.FromString(payload).batch.messages
    except DecodeError as error:
        raise ProtocolError(str(error)) from error
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise ProtocolError(f"AgentBatch has not 1 to {MAX_MESSAGES} messages")
    if any(message[:1] == _BATCH_TAG for message in messages):
        raise ProtocolError("AgentBatch has a batch in it")
    return messages


def coordinator_batch(orders: Iterable[Order]) -> pb.CoordinatorMessage:
    """One message with the given ones, at most `MAX_ORDERS`. The options of jobs are sent once for
    all jobs that share them."""
    batch = pb.CoordinatorBatch()
    jobs: dict[object, pb.Jobs] = {}
    for order in orders:
        match order:
            case m.Job():
                options = _options(order)
                alike = jobs.get(options)
                if alike is None:
                    plain = replace(order, job_id=m.JobId(""), target="")
                    alike = jobs[options] = batch.jobs.add(options=job_out(plain))
                alike.job_ids.append(order.job_id)
                alike.targets.append(order.target)
            case m.Cancel():
                batch.cancels.add(job_id=order.job_id)
            case m.Ack():
                batch.acks.add(job_id=order.job_id, sequence=order.sequence)
    return pb.CoordinatorMessage(batch=batch)


def coordinator_batch_in(batch: pb.CoordinatorBatch) -> list[m.FromCoordinator]:
    """The messages of a coordinator's batch.

    Raises:
        ProtocolError: it has too many messages, or one of them is out of bounds.
    """
    count = sum(len(jobs.job_ids) for jobs in batch.jobs) + len(batch.cancels) + len(batch.acks)
    if count > MAX_ORDERS or len(batch.jobs) > MAX_ORDERS:
        raise ProtocolError(f"CoordinatorBatch has more than {MAX_ORDERS} messages")
    orders: list[m.FromCoordinator] = []
    for jobs in batch.jobs:
        if len(jobs.job_ids) != len(jobs.targets):
            raise ProtocolError("Jobs has not as many targets as job ids")
        for job_id, target in zip(jobs.job_ids, jobs.targets, strict=True):
            jobs.options.job_id, jobs.options.target = job_id, target
            orders.append(job_in(jobs.options))
    orders += [cancel_in(cancel) for cancel in batch.cancels]
    orders += [ack_in(ack) for ack in batch.acks]
    return orders
