"""From a request to its answer: policy, jobs, rows.

`composition` builds the parts.
"""

import asyncio
import itertools
from collections.abc import Sequence

from colotrace_proto.hostnames import as_ascii
from colotrace_proto.messages import ColoName, Family

from .answer import Answers
from .colo_names import ColoNames
from .errors import StoppingError
from .fleet.registry import Registry
from .jobs.dispatcher import Dispatcher
from .jobs.fair import Origin
from .jobs.running import JobKey, Ticket
from .jobs.task import JobResult, Task
from .metrics import Metrics
from .model import Answer, ColoStatus, TraceRequest
from .policy import TargetPolicy, literal
from .turns import Turns

MANY_ROWS = 300
"""With so many rows, small requests would wait for the large ones."""
ROWS_AT_ONCE = 20
"""Rows whose jobs are begun, or whose results are taken, in one step."""


class TraceService:
    """The `Tracer` that asks real agents. Build it inside a running event loop."""

    def __init__(
        self,
        *,
        registry: Registry,
        dispatcher: Dispatcher,
        answers: Answers,
        policy: TargetPolicy,
        metrics: Metrics,
        turns: Turns,
    ) -> None:
        self._turns = turns
        self._registry = registry
        self._dispatcher = dispatcher
        self._answers = answers
        self._policy = policy
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count()
        self._stopping = False
        self._requests = 0
        self._rows = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def colo_names(self) -> ColoNames:
        """The names of all known colos."""
        return self._registry.names

    def colos(self) -> Sequence[ColoStatus]:
        """The state of every known colo, by name."""
        return self._registry.colos()

    async def trace(self, request: TraceRequest) -> Answer:
        """The whole answer, within `deadlines.ANSWER_S`. Cancelling the call cancels its jobs.

        Raises:
            StoppingError: `drain` has been called.
        """
        if self._stopping:
            raise StoppingError("the coordinator is stopping")
        began_at = self._loop.time()
        rows = len(request.targets) * len(request.colos)
        self._count(rows)
        self._requests += 1
        self._idle.clear()
        try:
            return await self._trace(request)
        finally:
            self._metrics.answer_seconds.observe(self._loop.time() - began_at)
            self._count(-rows)
            self._requests -= 1
            if self._requests == 0:
                self._idle.set()

    def _count(self, rows: int) -> None:
        self._rows += rows
        self._turns.share(large=self._rows >= MANY_ROWS)

    @property
    def rows(self) -> int:
        """Rows of all requests that run."""
        return self._rows

    async def drain(self) -> None:
        """Refuse new requests, and wait until the running ones have their answers."""
        self._stopping = True
        await self._idle.wait()

    async def _trace(self, request: TraceRequest) -> Answer:
        origin = Origin(request.account_id, request.caller, next(self._numbers))
        refusals = {target: self._policy.refusal(target) for target in request.targets}
        asked = {
            target: (as_ascii(target), request.options, _family(target)) for target in refusals
        }
        results: dict[tuple[str, ColoName], JobResult | str] = {}
        tickets: dict[tuple[str, ColoName], Ticket] = {}
        paused_at = 0
        try:
            # All targets of a colo together: what is due for one agent goes in one message.
            for colo in request.colos:
                for target, refusal in refusals.items():
                    if refusal is not None:
                        results[target, colo] = refusal
                        continue
                    tickets[target, colo] = self._dispatcher.begin(
                        JobKey(origin.account, Task(colo, *asked[target])),
                        origin,
                        rows=len(request.targets) * len(request.colos),
                        spent_s=request.spent_s,
                    )
                if len(tickets) >= paused_at + ROWS_AT_ONCE:
                    paused_at = len(tickets)
                    await self._turns.pause()
            places = list(tickets)
            for first in range(0, len(places), ROWS_AT_ONCE):
                if first:
                    await self._turns.pause()
                piece = places[first : first + ROWS_AT_ONCE]
                await asyncio.wait([tickets[place].done for place in piece])
                for place in piece:
                    # Freed here: 3,000 jobs take 25 ms.
                    ticket = tickets.pop(place)
                    results[place] = ticket.done.result()
                    ticket.leave()
        finally:
            # A few at a time if the request is cancelled: a job takes 40 µs.
            self._turns.each(tuple(tickets.values()), Ticket.leave)
        return await self._answers.build(request, results, origin)


def _family(target: str) -> Family | None:
    address = literal(target)
    return Family(address.version) if address is not None else None
