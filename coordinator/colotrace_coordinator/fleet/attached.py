"""One attached agent, and what becomes of it if another process takes its id."""

from dataclasses import dataclass, field

from colotrace_proto.messages import Hello, Usage

from colotrace_coordinator.errors import SupersededError

from .agents import AgentKey, AgentName
from .link import AgentLink
from .quickest import Quickest

MAX_TAKEOVERS = 3
CONTEST_S = 60.0
"""A process that takes over the id of an attached agent is taken for a restart. After
`MAX_TAKEOVERS` of them in this time, several processes share one id: the attached one stays until
no other has tried for this long."""
_SUPERSEDED_KEPT = 16


@dataclass(slots=True, eq=False)
class Agent:
    """An attached agent. Times are in seconds, on the clock of `now`.

    `draining`: it takes no new jobs. `away`: it is draining because the broker has lost it or never
    announced it, not because it said so. `drained`: an operator wants it to take no new jobs. To be
    changed by `Registry.mark` and `drain`; the families of its Hello by `Registry.set_families`.
    """

    key: AgentKey
    hello: Hello
    link: AgentLink
    heard_at: float
    messages: int = 0
    """Messages that have been read from it."""
    quickest: Quickest = field(default_factory=Quickest)
    """Its answers to offers."""
    draining: bool = False
    away: bool = False
    drained: bool = False
    superseded: tuple[bytes, ...] = ()
    """Boot ids of earlier processes with this id that this one has replaced."""
    takeovers: tuple[float, ...] = ()
    """When processes took over this id."""
    contested_at: float | None = None
    """When a takeover was last refused."""
    attached_since: float = 0.0
    """Since when it is attached without a gap, in seconds of Unix time."""
    usage: Usage | None = None
    """What its process uses, as it has told last."""

    @property
    def name(self) -> AgentName:
        """Its colo and id."""
        return self.hello.colo, self.hello.agent_id

    @property
    def takes_jobs(self) -> bool:
        """Whether it can be given new jobs."""
        return not self.draining and not self.drained

    def resume(self, before: "Agent") -> None:
        """Keep what was known of this process, which attaches again."""
        self.superseded = before.superseded
        self.takeovers, self.contested_at = before.takeovers, before.contested_at
        self.draining, self.away = before.draining, before.away
        self.quickest = before.quickest
        self.attached_since = before.attached_since
        self.usage = before.usage

    def take_over(self, other: "Agent", now: float) -> None:
        """Replace another process with the same id."""
        self.superseded = (*other.superseded, other.key.boot_id)[-_SUPERSEDED_KEPT:]
        self.takeovers = (*other.takeovers, now)[-MAX_TAKEOVERS:]

    def contest(self, now: float) -> None:
        """Check a takeover of this agent's id by another process.

        Raises:
            SupersededError: several processes share the id; it is not one that was restarted.
        """
        recent = [at for at in self.takeovers if now - at < CONTEST_S]
        contested = self.contested_at is not None and now - self.contested_at < CONTEST_S
        if contested or len(recent) >= MAX_TAKEOVERS:
            self.contested_at = now
            raise SupersededError(
                f"several processes attach as {self.hello.agent_id} of {self.hello.colo}, and one "
                "of them is attached; give each agent of a colo an id of its own"
            )
