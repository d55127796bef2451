"""A prober without a network and a resolver without name servers, both told by the test."""

import asyncio
import errno
from collections.abc import Callable

from colotrace_agent.engine.limits.shares import Share
from colotrace_agent.engine.trace import Trace
from colotrace_agent.host.resolve import UnresolvableError, parse_address
from colotrace_agent.job.admission import Jobs
from colotrace_agent.job.shell import Emit, Progress
from colotrace_agent.model import AnswerKind, TraceSpec, family_of
from colotrace_proto.messages import (
    Accepted,
    Counters,
    Failure,
    Family,
    Frame,
    Job,
    JobId,
    Owner,
    PacketType,
    Refused,
    UnknownJob,
)
from colotrace_proto.notices import Notice, NoticeCode
from unit.agent import made
from unit.agent.made import answer

SOURCE = bytes([192, 0, 2, 1])
Listener = Callable[[Trace], None]


class FakeProber:
    """Traces stand still until told; `refuses` is raised by `start`, for that type only if `only`.
    Targets of `unrouted` have no route.

    `traces` has the last that was begun to each target, `open` all that have not ended, `ordinals`
    the probes by trace and TTL.
    """

    def __init__(self, *, families: frozenset[Family] = frozenset(Family)) -> None:
        self.families = families
        self.refuses: Exception | None = None
        self.only: PacketType | None = None
        self.unrouted: set[bytes] = set()
        self.traces: dict[bytes, tuple[Trace, Listener]] = {}
        self.open: dict[Trace, Listener] = {}
        self.ordinals: dict[tuple[Trace, int], list[int]] = {}
        self.begun = 0
        self.now = 1_000_000_000

    def start(
        self,
        spec: TraceSpec,
        listener: Listener,
        *,
        share: Share[Trace] | None = None,  # noqa: ARG002
    ) -> Trace:
        """Begin a trace; all its probes leave at once."""
        if self.refuses is not None and self.only in (None, spec.packet_type):
            raise self.refuses
        if spec.target in self.unrouted:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        self.begun += 1
        flow = made.flow(PacketType.ICMP, source=SOURCE, target=spec.target, identifier=self.begun)
        trace = Trace(spec, flow, now=self.now)
        while trace.unsent:
            index, ttl = trace.take()
            trace.probe_sent(index, self.now)
            self.ordinals.setdefault((trace, ttl), []).append(index)
        self.traces[spec.target] = (trace, listener)
        self.open[trace] = listener
        return trace

    def stop(self, trace: Trace) -> None:
        """End it; its listener hears of it."""
        listener = self.open.pop(trace, None)
        if self.traces.get(trace.spec.target, (None,))[0] is trace:
            del self.traces[trace.spec.target]
        if listener is not None:
            trace.stop(self.now + 5_000_000)
            listener(trace)

    def counters(self) -> Counters:
        """Nothing but what was sent."""
        return Counters(sent=7)

    def hear(self, target: bytes, ordinal: int = 0) -> None:
        """An answer of the target to that probe."""
        self.answer(self.traces[target][0], ordinal)

    def answer(self, trace: Trace, ordinal: int = 0) -> None:
        """The same, to a probe of that trace."""
        heard = answer(trace.flow, ordinal, AnswerKind.ECHO_REPLY)
        at = self.now + 1_000_000
        assert trace.heard(heard, at=at, read_at=at) is not None
        self.open[trace](trace)

    def end(self, target: bytes) -> None:
        """Nothing more comes."""
        self.stop(self.traces[target][0])


class EmittingJobs(Jobs):
    """Jobs whose progress, too, goes through `emit` unless the caller gives `ready`; then it is
    acknowledged at once."""

    def take(
        self,
        job: Job | UnknownJob,
        emit: Emit,
        *,
        ready: Callable[[Progress], object] | None = None,
    ) -> Accepted | Refused:
        """Accept or refuse the job."""

        def at_once(progress: Progress) -> None:
            frame = progress()
            if frame is not None:
                emit(frame)
                self.acknowledged(frame.job_id)

        return super().take(job, emit, ready=ready or at_once)


class FakeResolver:
    """Knows what it was told; `slow.example` is never answered."""

    def __init__(self) -> None:
        self.names: dict[str, list[bytes]] = {}
        self.fault: Exception | None = None

    async def addresses(self, target: str, *, family: Family | None = None) -> list[bytes]:
        """The target's addresses, of one family if asked so."""
        if self.fault is not None:
            raise self.fault
        literal = parse_address(target)
        if literal is not None:
            return [literal]
        if target == "slow.example":
            await asyncio.Event().wait()
        if target not in self.names:
            raise UnresolvableError(Notice(NoticeCode.NO_SUCH_NAME, name=target))
        found = self.names[target]
        return [each for each in found if family in (None, family_of(each))]


def job(
    job_id: str = "job-1", target: str = "1.1.1.1", **options: int | str | PacketType | Owner
) -> Job:
    """A job of one TTL and one packet, unless said otherwise."""
    fields: dict[str, int | str | PacketType | Owner] = {
        "packet_type": PacketType.ICMP,
        "max_ttl": 1,
        "packets_per_ttl": 1,
        "wait_ms": 1_000,
        "port": 0,
        "flow": 0,
        "remaining_ms": 20_000,
    }
    return Job(job_id=JobId(job_id), target=target, **fields | options)  # type: ignore[arg-type]


async def settle() -> None:
    """Let what is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


def outcome_of(frames: list[Frame]) -> Failure:
    """How the job ended; there is one end, and it is the last frame."""
    ends = [frame.outcome for frame in frames if frame.outcome is not None]
    assert len(ends) == 1
    assert frames[-1].outcome is ends[0]
    return ends[0].failure
