"""Messages that are published at a broker."""

from collections.abc import Callable

import pytest
from colotrace_proto import codec, published
from colotrace_proto import messages as m
from colotrace_proto.codec.checks import ProtocolError
from colotrace_proto.v1 import fleet_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from unit.proto.wire_messages import JOB_IDS, JOBS, PRESENCES


@given(PRESENCES)
def test_presence_survives_the_wire(presence: m.Presence) -> None:
    """Through bytes and back, within the bound."""
    payload = published.encode_presence(presence)
    assert published.decode_presence(payload) == presence
    assert len(payload) < published.MAX_PUBLISHED


@given(JOBS | st.builds(m.Cancel, JOB_IDS))
def test_published_message_survives_the_wire(message: m.Job | m.Cancel) -> None:
    """The same bytes as on a stream."""
    payload = published.encode_published(message)
    assert published.decode_published(payload) == message
    assert payload == codec.encode_from_coordinator(message).SerializeToString()
    assert len(payload) < published.MAX_PUBLISHED


@given(st.binary(max_size=300))
def test_any_bytes_give_a_message_or_a_protocol_error(data: bytes) -> None:
    """Anybody who may publish can send them."""
    for decode in (published.decode_presence, published.decode_published):
        try:
            decode(data)
        except ProtocolError:
            continue


@pytest.mark.parametrize("decode", [published.decode_presence, published.decode_published])
def test_payload_beyond_the_bound_is_refused(decode: Callable[[bytes], object]) -> None:
    """Before it is parsed."""
    with pytest.raises(ProtocolError, match="longer than"):
        decode(bytes(published.MAX_PUBLISHED + 1))


@pytest.mark.parametrize(
    "message", [m.Heartbeat(), m.Ack(m.JobId("a"), 1), m.Welcome(bytes(16), 5_000)]
)
def test_message_that_belongs_on_a_stream_is_refused(message: m.FromCoordinator) -> None:
    """No coordinator publishes one."""
    payload = codec.encode_from_coordinator(message).SerializeToString()
    with pytest.raises(ProtocolError):
        published.decode_published(payload)


def test_message_of_a_newer_coordinator_is_ignored_or_an_unknown_job() -> None:
    """The unknown job has the address for its refusal."""
    assert published.decode_published(b"\xa2\x06\x03abc") is None
    assert published.decode_published(b"") is None
    job = pb.Job(job_id="a", reply_to="[::1]:7")
    decoded = published.decode_published(pb.CoordinatorMessage(job=job).SerializeToString())
    assert isinstance(decoded, m.UnknownJob)
    assert decoded.reply_to == "[::1]:7"
