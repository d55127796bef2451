"""One trace: which probes are due, which answers count, when it ends.

Sans-IO: `engine.engine` calls it, and `engine.rules` has the rules that it applies. All TTLs are in
flight together.
"""

import errno
import itertools
from array import array
from collections.abc import Collection, Iterable
from functools import lru_cache

from colotrace_proto.ends import refused_at
from colotrace_proto.messages import FlowFields, NodeKind
from colotrace_proto.notices import Notice

from colotrace_agent.model import Counters, Flow, Heard, Ordinal, Reply, TraceSpec, Ttl

from . import rules
from .identity import header_fields
from .matching import Miss, match
from .notices import Caveats
from .order import Order
from .placing import place
from .refusals import settle
from .rules import Bounds
from .verdict import judge

# Called for each answer of the target, with few different arguments.
_answer_bounds = lru_cache(maxsize=1_024)(rules.answer_bounds)


class Trace:
    """The state of one trace. `now` and all times are monotonic nanoseconds."""

    def __init__(
        self, spec: TraceSpec, flow: Flow, *, now: int, expected_ttl: int | None = None
    ) -> None:
        """`expected_ttl` is the target's distance, if it is known from an earlier trace."""
        self.spec = spec
        self.target = spec.target
        """The target's packed address."""
        self.flow = flow
        self.started = now
        self.counters = Counters()
        self.caveats = Caveats()
        self.sent = [0] * spec.max_ttl
        """Sent probes, at TTL 1, 2, 3 …"""
        self.answers = [0] * spec.max_ttl
        """Answered probes, at TTL 1, 2, 3 …"""
        self.replies: list[Reply] = []
        """In order of arrival. Refusals that may be the target's are added when the trace ends."""
        self.ended: int | None = None
        self.path: dict[int, bytes] = {}
        """The address that answered last at each TTL."""
        self.furthest = 0
        """The highest TTL at which a probe was answered; 0 if none was."""

        nowhere = spec.max_ttl + 1
        self._bounds = Bounds(nowhere, expected_ttl or spec.max_ttl, nowhere, nowhere)
        self._furthest_transit = 0
        self._order = Order(spec, seed=flow.identifier)
        self._deferred = 0
        self._ttls = bytearray()
        self._sent_at = array("q")  # 0 if it was not sent
        self._answered = bytearray()
        self._stamped = bytearray()
        self._last_sent_at = [0] * spec.max_ttl
        self._longest_rtt = [0] * spec.max_ttl
        self._doubtful: list[Reply] = []
        self._forwarders: set[bytes] = set()
        self._sure: int | None = None  # replies before the settled refusals; None until `settle`

    @property
    def target_ttl(self) -> int:
        """The lowest TTL at which the target answered; beyond all TTLs if it did not."""
        return self._bounds.target_ttl

    @property
    def end_ttl(self) -> int:
        """The last TTL of the path: the target's, else where a refusal ends the path, else
        `max_ttl`."""
        if self.reached:
            return self.target_ttl
        refused = self._bounds.refusal_ttl <= self.spec.max_ttl
        end = refused_at((r.ttl, r.kind, r.address) for r in self.replies) if refused else None
        return self.spec.max_ttl if end is None else end

    @property
    def reached(self) -> bool:
        """Whether the target answered."""
        return self.target_ttl <= self.spec.max_ttl

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What to tell beside the row; none if nothing is out of the ordinary."""
        return tuple(self.caveats.notices(reached=self.reached))

    @property
    def source(self) -> bytes:
        """The packed source address of its probes."""
        return self.flow.source

    @property
    def flows(self) -> tuple[FlowFields, ...]:
        """The header fields of its flow."""
        return (header_fields(self.spec, self.flow),)

    @property
    def is_doubtful(self) -> bool:
        """Whether a refusal came that may be the target's or a firewall's."""
        return bool(self._doubtful)

    @property
    def unsent(self) -> bool:
        """Whether probes are still to be sent."""
        return self._order.upcoming(self._bounds) is not None

    @property
    def taken(self) -> int:
        """How many probes have been taken to be sent."""
        return len(self._ttls)

    def next_ttl(self) -> int | None:
        """The TTL of the next probe that `take` returns; None if none is left."""
        upcoming = self._order.upcoming(self._bounds)
        return upcoming[0] if upcoming is not None else None

    def take(self) -> tuple[Ordinal, Ttl]:
        """The next probe as (ordinal, TTL); it must then be reported as sent or as failed."""
        ttl, _ = self._order.take(self._bounds)
        return self._take(ttl)

    def put_off(self) -> int:
        """Defer the next probe until `take_late` or `spare`. Returns how many of its TTL come
        before it."""
        self._deferred += 1
        return self._order.take(self._bounds)[1]

    def wants_late(self, ttl: int) -> bool:
        """Whether a deferred probe of that TTL is still to be sent."""
        return self.ended is None and ttl <= self.target_ttl

    def take_late(self, ttl: int) -> tuple[Ordinal, Ttl]:
        """As `take`, for a deferred probe."""
        self._deferred -= 1
        return self._take(ttl)

    def spare(self, ttl: int, *, limited: bool) -> None:
        """Drop a deferred probe; `limited` if the reason is the router's rate limit."""
        self._deferred -= 1
        if limited and ttl <= self.target_ttl:
            self.caveats.spared.add(ttl)

    def _take(self, ttl: int) -> tuple[Ordinal, Ttl]:
        self._ttls.append(ttl)
        self._sent_at.append(0)
        self._answered.append(False)
        self._stamped.append(False)
        return Ordinal(len(self._ttls) - 1), Ttl(ttl)

    def probe_sent(self, ordinal: Ordinal, at: int) -> None:
        """Probe `ordinal` was sent at that time."""
        ttl = self._ttls[ordinal]
        self._sent_at[ordinal] = at
        self.sent[ttl - 1] += 1
        self._last_sent_at[ttl - 1] = at

    def probe_departed(self, ordinal: Ordinal, at: int | None) -> None:
        """Store when the kernel says that the probe departed; None if the time stamp is unusable
        because the clock was set."""
        if at is None:
            self.caveats.clock_stepped = True
        elif rules.takes_stamp(self._sent_at[ordinal], self._answered[ordinal]):
            self._sent_at[ordinal] = at
            self._stamped[ordinal] = True

    def probe_failed(self, ordinal: Ordinal, error: int) -> None:
        """The host could not send probe `ordinal`, for that errno. This is not loss."""
        self._sent_at[ordinal] = 0
        self.caveats.send_errors[error] += 1

    def undeparted(self) -> list[Ordinal]:
        """Unanswered probes without a kernel time stamp of their departure."""
        return [
            Ordinal(ordinal)
            for ordinal, sent_at in enumerate(self._sent_at)
            if sent_at and not self._stamped[ordinal] and not self._answered[ordinal]
        ]

    def kept_back(self, ordinals: Iterable[Ordinal]) -> None:
        """These probes were counted as sent but never left, because the next hop did not answer."""
        for ordinal in ordinals:
            self.sent[self._ttls[ordinal] - 1] -= 1
            self.probe_failed(ordinal, errno.EHOSTUNREACH)

    def verifies(self, heard: Heard) -> bool:
        """Whether an answer identifies a probe that was taken to be sent."""
        return not isinstance(match(self.flow, heard, sent=self.taken), Miss)

    def heard(self, heard: Heard, *, at: int, read_at: int) -> Reply | None:
        """Count an answer. Returns the reply, or None if the answer does not count.

        `at` is the kernel's time of arrival. `read_at` is when the agent read the answer. It is
        used instead of `at` if `at` is before the departure.
        """
        ordinal = place(self, heard, at=at)
        if ordinal is None:
            return None
        ttl = self._ttls[ordinal]
        meaning = judge(heard, self.flow)
        if meaning.by_own_host:  # the kernel refused the probe, which never left
            self.kept_back([ordinal])
            return None
        rtt_ns, stepped = rules.rtt_ns(self._sent_at[ordinal], at=at, read_at=read_at)
        if stepped:
            self.caveats.clock_stepped = True
        self._answered[ordinal] = True
        self.caveats.unstamped += not self._stamped[ordinal]
        self.answers[ttl - 1] += 1
        self._longest_rtt[ttl - 1] = max(self._longest_rtt[ttl - 1], rtt_ns)
        self.furthest = max(self.furthest, ttl)
        if meaning.kind is NodeKind.TRANSIT:
            self._furthest_transit = max(self._furthest_transit, ttl)
        else:
            nowhere = self.spec.max_ttl + 1
            shown = _answer_bounds(meaning.stored_kind, ttl, meaning.ttl_left, nowhere)
            self._bounds = Bounds(*map(min, self._bounds, shown))
        reply = Reply(ttl, rtt_ns, heard.responder, meaning.kind, meaning.labels, ordinal)
        if meaning.doubtful:
            self._doubtful.append(reply)
        else:
            self.replies.append(reply)
        return reply

    # What `placing` asks.

    def ttl_of(self, ordinal: Ordinal) -> Ttl:
        """The probe's TTL."""
        return Ttl(self._ttls[ordinal])

    def has_left(self, ordinal: Ordinal) -> bool:
        """Whether the probe was sent and did not fail on the host."""
        return bool(self._sent_at[ordinal])

    def is_answered(self, ordinal: Ordinal) -> bool:
        """Whether the probe has been answered."""
        return bool(self._answered[ordinal])

    def waiting(self, at: int) -> list[Ordinal]:
        """Unanswered probes whose wait had not expired at this time."""
        return [
            Ordinal(ordinal)
            for ordinal, sent_at in enumerate(self._sent_at)
            if rules.is_waited_for(
                sent_at, self._answered[ordinal], at=at, wait_ns=self.spec.wait_ns
            )
        ]

    def closes_at(self) -> int | None:
        """When the patience with the last silent probe is over; None while probes are unsent.

        Probes beyond a refusal are waited for as well, because a router that refuses some probes
        may forward others.
        """
        if self.unsent or self._deferred:
            return None
        barrier_ttl, barrier_rtt = self._bounds.barrier_ttl, 0
        if barrier_ttl <= self.spec.max_ttl:
            ends = rules.ends_path(barrier_ttl, self._furthest_transit)
            barrier_rtt = self._longest_rtt[barrier_ttl - 1] * ends
        return rules.waited_until(
            self._missing(), self._last_sent_at, self._longest_rtt,
            since=self.started, barrier_ttl=barrier_ttl, barrier_rtt=barrier_rtt,
            wait_ns=self.spec.wait_ns,
        )  # fmt: skip

    def look_at(self) -> int | None:
        """A lower bound of `closes_at` that is cheaper to compute: at once if no answer is missing,
        else when the shortest patience is over. None while probes are unsent."""
        if self.unsent or self._deferred:
            return None
        missing = self._missing()
        if not any(missing):
            return self.started
        last = max(itertools.compress(self._last_sent_at, missing))
        return last + rules.floor_ns(self.spec.wait_ns)

    def _missing(self) -> list[int]:
        """Whether answers are missing, at TTL 1, 2, 3 …"""
        ends = itertools.repeat(self._bounds.target_ttl)
        return list(map(rules.is_missing, self.sent, self.answers, itertools.count(1), ends))

    def expire(self, now: int) -> bool:
        """End the trace if nothing is left to send or to wait for. Returns whether it has ended."""
        if self.ended is None:
            closes_at = self.closes_at()
            if closes_at is not None and closes_at <= now:
                self.stop(now)
        return self.ended is not None

    def stop(self, now: int) -> None:
        """End the trace with its answers so far."""
        if self.ended is None:
            self.ended = now
            self.settle()
            self.caveats.spared &= {*range(1, self.end_ttl + 1)}

    def settle(self, forwarders: Collection[bytes] = ()) -> None:
        """Decide which doubtful refusals are the target's, now that all answers are there.

        `forwarders` are nodes that answered "time exceeded" to other flows to the target. To be
        called again where more of them become known.
        """
        if not self._doubtful:
            return
        if self._sure is None:
            self._sure = len(self.replies)
        self._forwarders.update(forwarders)
        del self.replies[self._sure :]
        settled = settle(
            self._doubtful, self.replies, source=self.flow.source, target=self.flow.target,
            forwarders=self._forwarders,
        )  # fmt: skip
        self.replies += settled.replies
        ends = (reply.ttl for reply in self.replies if reply.kind is NodeKind.TARGET)
        target_ttl = min(ends, default=self.spec.max_ttl + 1)
        self._bounds = self._bounds._replace(target_ttl=target_ttl)
        self.caveats.uncertain = frozenset(
            each for each in settled.uncertain if each.ttl <= self.end_ttl
        )
