"""Frames are kept until they have arrived, and no longer."""

from colotrace_agent.link.outbox import Outbox
from colotrace_proto.messages import Ack, Failure, Frame, JobId, Outcome
from hypothesis import given
from hypothesis import strategies as st

A, B = JobId("a"), JobId("b")


def frame(sequence: int, *, job: JobId = A, final: bool = False) -> Frame:
    return Frame(job, sequence, outcome=Outcome(Failure.NONE) if final else None)


def filled(last: int = 3, *, job: JobId = A) -> Outbox:
    outbox = Outbox()
    outbox.open(job)
    for sequence in range(1, last + 1):
        assert outbox.add(frame(sequence, job=job, final=sequence == last))
    return outbox


def test_what_was_acknowledged_is_not_sent_again() -> None:
    """The rest is, in order."""
    frames, unwanted = filled().resume([Ack(A, 1)])
    assert ([f.sequence for f in frames], unwanted) == ([2, 3], [])


def test_a_job_is_forgotten_with_its_last_frame() -> None:
    """Not before: an acknowledgement of all but the last keeps it."""
    outbox = filled()
    outbox.acknowledge(Ack(A, 2))
    assert outbox.jobs == (A,)
    outbox.acknowledge(Ack(A, 3))
    assert len(outbox) == 0


def test_a_job_that_has_said_nothing_yet_is_kept() -> None:
    """An early acknowledgement of nothing does not end it."""
    outbox = Outbox()
    outbox.open(A)
    outbox.acknowledge(Ack(A, 0))
    assert outbox.jobs == (A,)
    assert outbox.add(frame(1))


def test_an_unwanted_job_is_dropped_and_named() -> None:
    """Its later frames are not sent either."""
    outbox = filled()
    frames, unwanted = outbox.resume([])
    assert (frames, unwanted) == ([], [A])
    assert not outbox.add(frame(4))


def test_an_acknowledgement_for_an_unknown_job_is_let_be() -> None:
    """It was dropped meanwhile."""
    outbox = filled()
    outbox.acknowledge(Ack(B, 9))
    outbox.drop(B)
    assert outbox.jobs == (A,)


def test_an_opened_job_is_opened_once() -> None:
    """Accepting it again loses nothing."""
    outbox = filled()
    outbox.open(A)
    assert len(outbox.resume([Ack(A, 0)])[0]) == 3


@given(st.lists(st.integers(0, 12), max_size=8), st.integers(1, 10))
def test_every_frame_arrives_whatever_was_acknowledged_when(
    acknowledged: list[int], last: int
) -> None:
    """Also by an acknowledgement that comes late, twice, or too high."""
    outbox = filled(last)
    for sequence in acknowledged:
        outbox.acknowledge(Ack(A, sequence))
    frames, _ = outbox.resume([Ack(A, 0)])
    arrived = max(acknowledged, default=0)
    assert [f.sequence for f in frames] == list(range(arrived + 1, last + 1))
    assert bool(len(outbox)) == (arrived < last)
