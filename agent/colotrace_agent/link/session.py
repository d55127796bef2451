"""The messages on the stream to a coordinator, independent of the transport: sans-IO.

A session outlives its streams: jobs go on while the coordinator is unreachable, and their frames
are sent after the next attachment. The stream that is up drains `to_send`.

Progress frames have the lowest priority and are built at send time, so they do not delay answers to
offered jobs, or last frames.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

from colotrace_proto.codec.batches import BATCHES_SINCE
from colotrace_proto.locations import Location
from colotrace_proto.messages import (
    MAX_HELD_JOBS,
    Accepted,
    Ack,
    AgentId,
    Cancel,
    Capabilities,
    ColoName,
    Draining,
    Family,
    Frame,
    FromAgent,
    FromCoordinator,
    Heartbeat,
    Hello,
    Job,
    JobId,
    PacketType,
    UnknownJob,
    Welcome,
)
from colotrace_proto.tags import Tag

from colotrace_agent.job.admission import Jobs
from colotrace_agent.job.shell import Progress

from .outbox import Outbox


@dataclass(slots=True)
class Identity:
    """This agent's identity and capabilities. Only `families` changes while it runs: after setting
    it, call the link's `changed`."""

    agent_id: AgentId
    boot_id: bytes
    """Random, 16 bytes: identifies this process."""
    colo: ColoName
    city: str
    families: frozenset[Family]
    packet_types: frozenset[PacketType]
    software_version: str
    max_jobs: int
    tags: frozenset[Tag] = frozenset()
    location: Location | None = None
    host: str = ""

    def hello(self, *, held_jobs: tuple[JobId, ...] = ()) -> Hello:
        """The first message on a stream."""
        return Hello(**asdict(self), held_jobs=held_jobs)


def heartbeat_of(jobs: Jobs) -> Heartbeat:
    """A heartbeat with the agent's numbers."""
    return Heartbeat(running_jobs=len(jobs), counters=jobs.counters(), usage=jobs.usage())


class Session:
    """The agent's side of the protocol. `wake` is called when there is something to send."""

    def __init__(self, identity: Identity, jobs: Jobs, *, wake: Callable[[], None]) -> None:
        self.heartbeat_ms = 5_000
        self.welcomed = False
        self.batches = False
        """Whether the coordinator takes batches."""
        self._identity = identity
        self._jobs = jobs
        self._wake = wake
        self._coordinator_id = b""
        self._told_families = identity.families
        self._told_draining = False
        self._outbox = Outbox()
        self._to_send: deque[FromAgent] = deque()
        self._progress: deque[Progress] = deque()

    @property
    def unsettled(self) -> int:
        """Jobs that run, or whose last frame has not been acknowledged."""
        return len(self._outbox)

    def attached(self) -> None:
        """A stream is up: send the hello."""
        self.welcomed = False
        self._to_send.clear()
        # The newest jobs if there are more: the oldest have the least time left.
        self._told_families = self._identity.families
        self._told_draining = False
        self._say(self._identity.hello(held_jobs=self._outbox.jobs[-MAX_HELD_JOBS:]))

    def abandon(self) -> None:
        """The coordinator is gone for good: cancel its jobs."""
        _, unwanted = self._outbox.resume(())
        for job_id in unwanted:
            self._jobs.cancel(job_id)

    def detached(self) -> None:
        """The stream is down; unsent frames are sent after the next welcome."""
        self.welcomed = False
        self._to_send.clear()

    def heard(self, message: FromCoordinator) -> None:
        """Handle a message of the coordinator."""
        match message:
            case Welcome():
                self._welcome(message)
            case Job() | UnknownJob():
                self._job(message)
            case Cancel():
                if message.job_id in self._outbox:  # else another coordinator's job
                    self._outbox.drop(message.job_id)
                    self._jobs.cancel(message.job_id)
            case Ack():
                self._outbox.acknowledge(message)
                self._jobs.acknowledged(message.job_id)
            case Heartbeat():
                pass

    def heartbeat(self) -> None:
        """Send a heartbeat."""
        self._say(heartbeat_of(self._jobs))

    def changed(self) -> None:
        """Report changed families, and that the agent drains. Without a stream, this is done after
        the next welcome."""
        if not self.welcomed:
            return
        if self._jobs.draining and not self._told_draining:
            self._told_draining = True
            self._say(Draining())
        if self._identity.families != self._told_families:
            self._told_families = self._identity.families
            self._say(Capabilities(self._told_families))

    def to_send(self) -> FromAgent | None:
        """The next message for the stream; None if there is none now."""
        if self._to_send:
            return self._to_send.popleft()
        while self.welcomed and self._progress:
            frame = self._progress.popleft()()
            if frame is not None and self._outbox.add(frame):
                return frame
        return None

    def _welcome(self, welcome: Welcome) -> None:
        self.welcomed = True
        self.heartbeat_ms = welcome.heartbeat_ms
        self.batches = welcome.protocol_version >= BATCHES_SINCE
        # A new coordinator process does not know the jobs of its predecessor.
        wanted = welcome.wanted_jobs if welcome.coordinator_id == self._coordinator_id else ()
        self._coordinator_id = welcome.coordinator_id
        frames, unwanted = self._outbox.resume(wanted)
        for job_id in unwanted:
            self._jobs.cancel(job_id)
        for frame in frames:
            self._say(frame)
        self.changed()
        self._wake()  # progress may have come meanwhile

    def _job(self, job: Job | UnknownJob) -> None:
        answer = self._jobs.take(job, self._emit, ready=self._ready)
        if isinstance(answer, Accepted):
            self._outbox.open(job.job_id)
        self._say(answer)

    def _emit(self, frame: Frame) -> None:
        if self._outbox.add(frame) and self.welcomed:
            self._say(frame)

    def _ready(self, progress: Progress) -> None:
        self._progress.append(progress)
        self._wake()

    def _say(self, message: FromAgent) -> None:
        self._to_send.append(message)
        self._wake()
