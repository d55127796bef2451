"""When a job's machine looks at what is overdue: once all that was sent by then has been read."""

from collections.abc import Callable
from functools import partial

from colotrace_proto.running import RunningClock

from colotrace_coordinator.fleet.registry import Registry
from colotrace_coordinator.turns import Turns

from .machine import READ_S, JobMachine, State
from .running import LiveJob

READ_TURNS = 10
"""Turns of the loop in which what has arrived is read: gRPC passes it on through a thread and
a queue, and a stream reads one message a turn."""
READ_AGAIN_S = 0.02
MAX_UNREAD_S = 10.0
"""An agent whose messages are read all the time is judged no later than this after its deadline: it
may send without end."""


class Timers:
    """The timers of jobs, one of each. `expire` is called with a job that is due."""

    def __init__(
        self,
        registry: Registry,
        *,
        clock: RunningClock,
        turns: Turns,
        expire: Callable[[LiveJob, float], None],
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._turns = turns
        self._expire = expire

    def set(self, job: LiveJob, due: float) -> None:
        """Look at the job at that time. A timer that is set for an earlier one stays: the next time
        is set then, and most jobs end before."""
        if job.due is None or due < job.due:
            self.cancel(job)
            job.due, job.timer = due, self._clock.call_at(due, partial(self._due, job, READ_TURNS))

    def cancel(self, job: LiveJob) -> None:
        """End the timer. It refers to the job: without the cycle an ended job is freed at once."""
        if job.timer is not None:
            job.timer.cancel()
        job.due = job.timer = None

    def _due(self, job: LiveJob, turns: int, read: int = 0) -> None:
        """Wait until in `turns` turns of the loop none of the agent's messages has come. `read`
        have come before."""
        machine = job.machine
        if machine.state is State.ENDED:
            return
        if turns == READ_TURNS:
            read = self._messages(machine)
        if turns and self._clock.now() < machine.deadline + READ_S:
            again = partial(self._due, job, turns - 1, read)
            self._turns.soon(()).add_done_callback(lambda _: again())
            return
        now = self._clock.now()
        judged_by = min(machine.deadline, (job.due or now) + MAX_UNREAD_S)
        if self._messages(machine) != read and now < judged_by:
            anew = partial(self._due, job, READ_TURNS)
            job.timer = self._clock.call_at(now + READ_AGAIN_S, anew)
            return
        job.due = None
        self._expire(job, now)

    def _messages(self, machine: JobMachine) -> int:
        """Messages that have been read from the agents that may answer the machine's offer."""
        live = machine.live
        if live is None:
            return 0
        if live.shared:
            return sum(agent.messages for agent in self._registry.agents(machine.task.colo))
        agent = self._registry.get(live.agent)
        return agent.messages if agent is not None else 0
