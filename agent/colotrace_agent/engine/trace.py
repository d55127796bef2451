"""One trace: which probes are due, what the answers come to, when nothing more can come.

All TTLs are in flight together. Probes leave in ascending TTL order, all of one TTL after each
other: of those that reach the target, its own TTL's come first, so that a target which allows
only a few answers gives them to those that count (Linux allows 6, then one each second). The
lowest TTL at which the target answered ends the path: what lies beyond is not sent any more, and
not waited for. Beyond where it is expected, each TTL has one probe only. A trace in rounds sends
one probe of every TTL before the next of any: a route that changes meanwhile shows in the later.
The later rounds are shuffled, each flow's otherwise: who balances packets in turn is not met in
step with it, which would make its branches look like those of a balancer by flow.

A silent probe is waited for as long as the spec says at most, and less where the path is known
to be quicker: HERE times the RTT seen at its own hop, or NEAR times that of the next hop which
answered, as Linux's traceroute does, but never less than a router's slow path may take.
"""

import errno
import random
from array import array
from collections.abc import Collection, Iterable

from colotrace_proto.ends import refused_at
from colotrace_proto.messages import NodeKind

from colotrace_agent.labels import NAT
from colotrace_agent.model import Counters, Flow, Heard, MissingNeighbour, Reply, TraceSpec

from .matching import Miss, match
from .placing import place
from .refusals import Refuser, settle
from .verdict import is_own_refusal, judge, may_be_target

HERE = 3
NEAR = 10
_FLOOR_NS = 250_000_000


class Trace:
    """The state of one trace. `now` and all times are monotonic nanoseconds."""

    # Thousands may be under way. (The last is for whoever wants to know when one is gone.)
    __slots__ = (
        "__weakref__",
        "_answered",
        "_answers",
        "_barrier_ttl",
        "_doubtful",
        "_expected_ttl",
        "_floor_ns",
        "_forwarders",
        "_index_sent_at",
        "_index_ttl",
        "_last_sent_at",
        "_later_round",
        "_longest_rtt",
        "_next",
        "_probes",
        "_put_off",
        "_refusal_ttl",
        "_stamped",
        "_sure",
        "clock_stepped",
        "counters",
        "detour",
        "ended",
        "flow",
        "furthest",
        "limiting",
        "obstacle",
        "overflows",
        "path",
        "replies",
        "send_errors",
        "sent",
        "spared",
        "spec",
        "started",
        "target_ttl",
        "uncertain",
        "unplaced",
        "unstamped",
    )

    def __init__(
        self, spec: TraceSpec, flow: Flow, *, now: int, expected_ttl: int | None = None
    ) -> None:
        """`expected_ttl` is the target's distance, where it is known from before."""
        self.spec = spec
        self.flow = flow
        self.started = now
        self.counters = Counters()
        self.send_errors: dict[int, int] = {}
        """How many probes each errno kept from leaving."""
        self.obstacle: MissingNeighbour | None = None
        """Who or what on the host's own link was in their way, in words, where that is known."""
        self.sent = [0] * spec.max_ttl
        """Probes that left, at TTL 1, 2, 3 …"""
        self.replies: list[Reply] = []
        """The answers, in order; refusals that may be the target's once the trace has ended."""
        self.ended: int | None = None
        self.clock_stepped = False
        """Whether the wall clock was set under way, and times were taken by another for it."""
        self.detour = False
        """Whether probes may have left by another next hop than the host's other such traffic."""
        self.unstamped = 0
        """Answers whose probe's departure the kernel has not stamped: their RTT is less exact."""
        self.overflows = 0
        """Packets that the host had no room for meanwhile; some may have been answers."""
        self.unplaced = 0
        """Answers of the target that name no probe, at most one for each; it is reached, though
        not `reached` at a TTL."""
        self.path: dict[int, bytes] = {}
        """Who answered last at each TTL."""
        self.limiting: list[int] = []
        """Where a router's limit has probably kept answers back; known at the end."""
        self.spared: set[int] = set()
        """Where a router was asked less than it should have been, since it limits its answers."""
        self.uncertain: tuple[Refuser, ...] = ()
        """Refusers that may be the target or a firewall; known at the end."""
        self.target_ttl = spec.max_ttl + 1
        """The lowest TTL at which the target answered; beyond all TTLs where it did not."""
        self.furthest = 0
        """The highest TTL at which a probe was answered; 0 where none was."""

        probes = spec.max_ttl * spec.packets_per_ttl
        self._next = 0  # the place in the order of sending, skipped probes included
        self._put_off = 0
        self._probes = probes
        self._later_round = _shuffled(spec.max_ttl, flow.identifier) if spec.rounds else []
        self._index_ttl = bytearray()
        self._index_sent_at = array("q")  # 0: it did not leave
        self._answered = bytearray()
        self._stamped = bytearray()
        self._last_sent_at = [0] * spec.max_ttl
        self._longest_rtt = [0] * spec.max_ttl
        self._answers = [0] * spec.max_ttl
        self._expected_ttl = expected_ttl or spec.max_ttl
        # The lowest TTL of a refusal by a router, and of one by whoever.
        self._barrier_ttl = self._refusal_ttl = spec.max_ttl + 1
        self._doubtful: list[Reply] = []
        self._forwarders: set[bytes] = set()
        self._sure: int | None = None  # how many of the replies are, once the others are decided
        self._floor_ns = floor_of(spec)

    @property
    def target(self) -> bytes:
        """What is traced, packed."""
        return self.spec.target

    @property
    def end_ttl(self) -> int:
        """The last TTL of interest: the target's, else where a refusal ends the path, else the
        spec's."""
        if self.reached:
            return self.target_ttl
        refused = self._refusal_ttl <= self.spec.max_ttl
        end = refused_at((r.ttl, r.kind, r.address) for r in self.replies) if refused else None
        return self.spec.max_ttl if end is None else end

    @property
    def reached(self) -> bool:
        """Whether the target answered."""
        return self.target_ttl <= self.spec.max_ttl

    @property
    def is_doubtful(self) -> bool:
        """Whether a refusal came that may be the target's or a firewall's."""
        return bool(self._doubtful)

    @property
    def left(self) -> int:
        """Probes that left."""
        return sum(self.sent)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.ended is not None

    def hops(self) -> range:
        """The TTLs of interest."""
        return range(1, self.end_ttl + 1)

    def answers(self, ttl: int) -> int:
        """How many probes of that TTL were answered."""
        return self._answers[ttl - 1]

    @property
    def unsent(self) -> bool:
        """Whether probes are still to be sent."""
        return self._upcoming() is not None

    @property
    def taken(self) -> int:
        """How many probes have been taken to be sent."""
        return len(self._index_ttl)

    def next_ttl(self) -> int | None:
        """The TTL of the probe that `take` gives next; None where none is to be sent."""
        upcoming = self._upcoming()
        return upcoming[0] if upcoming is not None else None

    def take(self) -> tuple[int, int]:
        """The next probe as (index, TTL); it must then be reported as sent or as failed."""
        ttl, _ = self._next_place()
        return self._take(ttl)

    def put_off(self) -> tuple[int, int]:
        """Puts the next probe off until `take_late` or `spare`; its TTL, and how many of that TTL
        came before it."""
        self._put_off += 1
        return self._next_place()

    def wants_late(self, ttl: int) -> bool:
        """Whether a probe of that TTL that was put off is still of interest."""
        return self.ended is None and ttl <= self.target_ttl

    def take_late(self, ttl: int) -> tuple[int, int]:
        """As `take`, of a probe that was put off."""
        self._put_off -= 1
        return self._take(ttl)

    def spare(self, ttl: int, *, limited: bool) -> None:
        """A probe that was put off will not be sent; `limited` says that this is for the limit of
        the router there."""
        self._put_off -= 1
        if limited and ttl <= self.target_ttl:
            self.spared.add(ttl)

    def _take(self, ttl: int) -> tuple[int, int]:
        self._index_ttl.append(ttl)
        self._index_sent_at.append(0)
        self._answered.append(False)
        self._stamped.append(False)
        return len(self._index_ttl) - 1, ttl

    def probe_sent(self, index: int, at: int) -> None:
        """Probe `index` left at that time."""
        ttl = self._index_ttl[index]
        self._index_sent_at[index] = at
        self.sent[ttl - 1] += 1
        self._last_sent_at[ttl - 1] = at

    def probe_left(self, ordinal: int, at: int | None) -> None:
        """The kernel's stamp of a probe that was sent; None where it cannot be right."""
        if at is None:
            self.clock_stepped = True
        elif self._index_sent_at[ordinal]:
            self._index_sent_at[ordinal] = at
            self._stamped[ordinal] = True

    def probe_failed(self, index: int, error: int) -> None:
        """Probe `index` could not be sent, for that errno: that is not loss."""
        self._index_sent_at[index] = 0
        self.send_errors[error] = self.send_errors.get(error, 0) + 1

    def undeparted(self) -> list[int]:
        """Probes without an answer of which the kernel has not said that they left."""
        return [
            index
            for index, sent_at in enumerate(self._index_sent_at)
            if sent_at and not self._stamped[index] and not self._answered[index]
        ]

    def kept_back(self, indices: Iterable[int], error: int, obstacle: MissingNeighbour) -> None:
        """These probes never left the host after all, for that errno and without that neighbour."""
        self.obstacle = obstacle
        for index in indices:
            self.sent[self._index_ttl[index] - 1] -= 1
            self.probe_failed(index, error)

    def verifies(self, heard: Heard) -> bool:
        """Whether an answer names a probe that was taken to be sent."""
        return not isinstance(match(self.flow, heard, sent=self.taken), Miss)

    def heard(self, heard: Heard, *, at: int, read_at: int) -> Reply | None:
        """Counts an answer that arrived at that time; None where it does not count.

        `read_at` is when the agent got to it: what counts where `at` cannot be right.
        """
        ordinal = place(self, heard, at=at)
        if ordinal is None:
            return None
        ttl, sent_at = self._index_ttl[ordinal], self._index_sent_at[ordinal]
        kind, labels = judge(heard, self.flow)
        if is_own_refusal(heard, self.flow, kind):
            self.sent[ttl - 1] -= 1
            self.probe_failed(ordinal, errno.EHOSTUNREACH)
            return None
        if at < sent_at:  # the wall clock was set between the two
            at = read_at
            self.clock_stepped = True
        rtt_ns = at - sent_at
        self._answered[ordinal] = True
        self.unstamped += not self._stamped[ordinal]
        self._answers[ttl - 1] += 1
        self._longest_rtt[ttl - 1] = max(self._longest_rtt[ttl - 1], rtt_ns)
        self.furthest = max(self.furthest, ttl)
        if translated(heard, self.flow):
            labels = (*labels, NAT)
        reply = Reply(ttl, rtt_ns, heard.responder, kind, labels + heard.labels)
        if may_be_target(heard, self.flow):
            self._refusal_ttl = min(self._refusal_ttl, ttl)
            self._doubtful.append(reply)
            return reply
        if kind is NodeKind.TARGET:
            self.target_ttl = min(self.target_ttl, ttl)
            self._expected_ttl = min(self._expected_ttl, ttl - spared_ttl(heard, ttl))
        elif kind is NodeKind.BARRIER:
            self._barrier_ttl = min(self._barrier_ttl, ttl)
            self._refusal_ttl = min(self._refusal_ttl, ttl)
        self.replies.append(reply)
        return reply

    # What `placing` asks.

    def ttl_of(self, ordinal: int) -> int:
        """The probe's TTL."""
        return self._index_ttl[ordinal]

    def has_left(self, ordinal: int) -> bool:
        """Whether the probe was sent, and nothing has kept it on the host."""
        return bool(self._index_sent_at[ordinal])

    def is_answered(self, ordinal: int) -> bool:
        """Whether the probe has its answer."""
        return bool(self._answered[ordinal])

    def waiting(self, at: int) -> list[int]:
        """Probes without an answer that at that time were waited for."""
        return [
            ordinal
            for ordinal, sent_at in enumerate(self._index_sent_at)
            if sent_at and not self._answered[ordinal] and at - sent_at <= self.spec.wait_ns
        ]

    def closes_at(self) -> int | None:
        """When the last silent probe will have been waited for; None while probes are unsent.

        Beyond a refusal, too: a router that refuses some probes may forward others.
        """
        if self.unsent or self._put_off:
            return None
        last = self.started
        nearest_rtt = 0
        for ttl in range(self.spec.max_ttl, 0, -1):
            at = ttl - 1
            if ttl <= self.target_ttl and self.sent[at] > self._answers[at]:
                last = max(last, self._last_sent_at[at] + self._patience(at, nearest_rtt))
            nearest_rtt = self._longest_rtt[at] or nearest_rtt
        return last

    def look_at(self) -> int | None:
        """A time that `closes_at` is not before, had with less work: at once where nothing is
        missing; else when the shortest patience is over. None while probes are unsent."""
        if self.unsent or self._put_off:
            return None
        end = min(self.target_ttl, self.spec.max_ttl)
        if sum(self.sent[:end]) <= sum(self._answers[:end]):
            return self.started
        last = max(self._last_sent_at[at] for at in range(end) if self.sent[at] > self._answers[at])
        return last + self._floor_ns

    def expire(self, now: int) -> bool:
        """Whether the trace is at its end: nothing is left to send or to wait for."""
        if self.ended is None:
            closes_at = self.closes_at()
            if closes_at is not None and closes_at <= now:
                self._end(now)
        return self.ended is not None

    def stop(self, now: int) -> None:
        """Ends the trace with what there is."""
        if self.ended is None:
            self._end(now)

    def _end(self, now: int) -> None:
        self.ended = now
        self.settle()
        self.spared = {ttl for ttl in self.spared if ttl <= self.end_ttl}

    def settle(self, forwarders: Collection[bytes] = ()) -> None:
        """Decides whose the doubtful refusals are, now that all answers are there.

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
        self.target_ttl = min(ends, default=self.spec.max_ttl + 1)
        self.uncertain = tuple(each for each in settled.uncertain if each.ttl <= self.end_ttl)

    def _patience(self, at: int, later_rtt: int) -> int:
        if self._longest_rtt[at]:
            patience = HERE * self._longest_rtt[at]
        elif later_rtt:
            patience = NEAR * later_rtt
        elif at >= self._barrier_ttl and self._is_refused:
            patience = HERE * self._longest_rtt[self._barrier_ttl - 1]
        else:
            return self.spec.wait_ns
        return min(max(patience, self._floor_ns), self.spec.wait_ns)

    @property
    def _is_refused(self) -> bool:
        """Whether a router's refusal seems to end the path: no router beyond it answered."""
        return not any(
            reply.kind is NodeKind.TRANSIT and reply.ttl > self._barrier_ttl
            for reply in self.replies
        )

    def _next_place(self) -> tuple[int, int]:
        upcoming = self._upcoming()
        if upcoming is None:
            raise LookupError("no probe is left to be sent")
        self._next += 1
        return upcoming

    def _upcoming(self) -> tuple[int, int] | None:
        """As `_place`, having passed over what lies beyond the target, and over all but one probe
        of each TTL beyond where it is expected or somebody refused: he may let others pass."""
        while self._next < self._probes:
            place = ttl, earlier = self._place()
            spared = earlier and ttl > min(self._expected_ttl, self._refusal_ttl)
            if not spared and ttl <= self.target_ttl:
                return place
            self._next += 1
        return None

    def _place(self) -> tuple[int, int]:
        """The TTL of the next probe, and how many of that TTL come before it."""
        if self.spec.rounds:
            earlier, at = divmod(self._next, self.spec.max_ttl)
            at = self._later_round[at] if earlier else at
        else:
            at, earlier = divmod(self._next, self.spec.packets_per_ttl)
        return at + 1, earlier


def _shuffled(ttls: int, seed: int) -> list[int]:
    places = list(range(ttls))
    random.Random(seed).shuffle(places)  # noqa: S311 - nothing secret
    return places


def floor_of(spec: TraceSpec) -> int:
    """The shortest patience with a silent probe: what a router's slow path may take."""
    return min(max(_FLOOR_NS, spec.wait_ns // 4), spec.wait_ns)


def translated(heard: Heard, flow: Flow) -> bool:
    """Whether the quoted probe was changed by a translator on its way."""
    if heard.source is None:  # nothing is quoted
        return False
    if heard.source != flow.source:
        return True
    return heard.key != flow.key and heard.key not in flow.keys


def spared_ttl(heard: Heard, ttl: int) -> int:
    """How much of its TTL a probe to the target had left beyond what it needed: with so much less
    it would have come as far. 0 where the quote does not say, or says what cannot be."""
    left = (heard.quoted_ttl or 1) - 1
    return left if left < ttl else 0
