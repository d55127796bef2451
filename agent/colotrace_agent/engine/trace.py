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
from collections.abc import Iterable

from colotrace_proto.messages import NodeKind, PacketType

from colotrace_agent.model import AnswerKind, Counters, Flow, Heard, Reply, TraceSpec

from .matching import Miss, match
from .verdict import judge

HERE = 3
NEAR = 10
_FLOOR_NS = 250_000_000

NAT = "NAT"
"""Annotates an answer whose quoted probe has other addresses or ports than it left with."""


class Trace:
    """The state of one trace. `now` and all times are monotonic nanoseconds."""

    # Thousands may be under way. (The last is for whoever wants to know when one is gone.)
    __slots__ = (
        "__weakref__",
        "_answered",
        "_answers",
        "_barrier_ttl",
        "_expected_ttl",
        "_floor_ns",
        "_index_sent_at",
        "_index_ttl",
        "_last_sent_at",
        "_later_round",
        "_longest_rtt",
        "_next",
        "_probes",
        "_put_off",
        "_stamped",
        "_target_ttl",
        "clock_stepped",
        "counters",
        "ended",
        "flow",
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
        self.obstacle = ""
        """Who or what on the host's own link was in their way, in words, where that is known."""
        self.sent = [0] * spec.max_ttl
        """Probes that left, at TTL 1, 2, 3 …"""
        self.replies: list[Reply] = []
        self.ended: int | None = None
        self.clock_stepped = False
        """Whether the wall clock was set under way, and times were taken by another for it."""
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
        self._target_ttl = spec.max_ttl + 1
        self._expected_ttl = expected_ttl or spec.max_ttl
        self._barrier_ttl = spec.max_ttl + 1
        self._floor_ns = floor_of(spec)

    @property
    def target(self) -> bytes:
        """What is traced, packed."""
        return self.spec.target

    @property
    def end_ttl(self) -> int:
        """The last TTL of interest: the target's, else a barrier's, else the spec's."""
        if self._target_ttl <= self.spec.max_ttl:
            return self._target_ttl
        return min(self._barrier_ttl, self.spec.max_ttl)

    @property
    def reached(self) -> bool:
        """Whether the target answered."""
        return self._target_ttl <= self.spec.max_ttl

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
        return self.ended is None and ttl <= self._target_ttl

    def take_late(self, ttl: int) -> tuple[int, int]:
        """As `take`, of a probe that was put off."""
        self._put_off -= 1
        return self._take(ttl)

    def spare(self, ttl: int, *, limited: bool) -> None:
        """A probe that was put off will not be sent; `limited` says that this is for the limit of
        the router there."""
        self._put_off -= 1
        if limited and ttl <= self._target_ttl:
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

    def kept_back(self, indices: Iterable[int], error: int, obstacle: str) -> None:
        """These probes never left the host after all, for that errno and in these words."""
        self.obstacle = obstacle
        for index in indices:
            self.sent[self._index_ttl[index] - 1] -= 1
            self.probe_failed(index, error)

    def heard(self, heard: Heard, *, at: int, read_at: int) -> Reply | None:
        """Counts an answer that arrived at that time; None where it does not count.

        `read_at` is when the agent got to it: what counts where `at` cannot be right.
        """
        ordinal = match(self.flow, heard, sent=len(self._index_ttl))
        if ordinal is Miss.AMBIGUOUS and names_no_probe(heard):
            ordinal = self._by_elimination(heard, at)
        if isinstance(ordinal, Miss):
            if ordinal is Miss.AMBIGUOUS:
                self.counters.ambiguous += 1
                if heard.kind in (AnswerKind.DATAGRAM, AnswerKind.CHALLENGE):
                    self.unplaced = min(self.unplaced + 1, sum(self.sent))
            else:
                self.counters.foreign += 1
            return None
        sent_at = self._index_sent_at[ordinal]
        if not sent_at:
            self.counters.foreign += 1
            return None
        if self._answered[ordinal]:
            self.counters.duplicates += 1
            return None
        if at < sent_at:  # the wall clock was set between the two
            at = read_at
            self.clock_stepped = True
        rtt_ns = at - sent_at
        if self.ended is not None:
            self.counters.late += 1
            return None
        return self._count(ordinal, heard, rtt_ns)

    def _by_elimination(self, heard: Heard, at: int) -> int | Miss:
        """The one probe that an answer which names none can be for, if there is just one, and
        others' answers do not speak against it."""
        waiting = (
            ordinal
            for ordinal, sent_at in enumerate(self._index_sent_at)
            if sent_at and not self._answered[ordinal] and at - sent_at <= self.spec.wait_ns
        )
        only = next(waiting, None)
        if only is None or next(waiting, None) is not None:
            return Miss.AMBIGUOUS
        ttl = self._index_ttl[only]
        furthest = max((at + 1 for at, count in enumerate(self._answers) if count), default=0)
        is_end = judge(heard, self.flow)[0] is not NodeKind.TRANSIT
        denied = ttl <= furthest if is_end else ttl >= self._target_ttl
        return Miss.AMBIGUOUS if denied else only

    def _count(self, index: int, heard: Heard, rtt_ns: int) -> Reply | None:
        ttl = self._index_ttl[index]
        kind, labels = judge(heard, self.flow)
        if kind is NodeKind.BARRIER and heard.responder == self.flow.source != self.flow.target:
            # The host's own kernel says so: no neighbour answered it, or its route is gone.
            self.sent[ttl - 1] -= 1
            self.probe_failed(index, errno.EHOSTUNREACH)
            return None
        self._answered[index] = True
        self.unstamped += not self._stamped[index]
        self._answers[ttl - 1] += 1
        self._longest_rtt[ttl - 1] = max(self._longest_rtt[ttl - 1], rtt_ns)
        if kind is NodeKind.TARGET:
            self._target_ttl = min(self._target_ttl, ttl)
            self._expected_ttl = min(self._expected_ttl, ttl - spared_ttl(heard, ttl))
        elif kind is NodeKind.BARRIER:
            self._barrier_ttl = min(self._barrier_ttl, ttl)
        if translated(heard, self.flow):
            labels = (*labels, NAT)
        reply = Reply(ttl, rtt_ns, heard.responder, kind, labels + heard.labels)
        self.replies.append(reply)
        return reply

    def closes_at(self) -> int | None:
        """When the last silent probe will have been waited for; None while probes are unsent.

        Beyond a barrier, too: somebody who refuses some probes may let others pass.
        """
        if self.unsent or self._put_off:
            return None
        last = self.started
        nearest_rtt = 0
        for ttl in range(self.spec.max_ttl, 0, -1):
            at = ttl - 1
            if ttl <= self._target_ttl and self.sent[at] > self._answers[at]:
                last = max(last, self._last_sent_at[at] + self._patience(at, nearest_rtt))
            nearest_rtt = self._longest_rtt[at] or nearest_rtt
        return last

    def look_at(self) -> int | None:
        """A time that `closes_at` is not before, had with less work: at once where nothing is
        missing; else when the shortest patience is over. None while probes are unsent."""
        if self.unsent or self._put_off:
            return None
        end = min(self._target_ttl, self.spec.max_ttl)
        if sum(self.sent[:end]) <= sum(self._answers[:end]):
            return self.started
        last = max(self._last_sent_at[at] for at in range(end) if self.sent[at] > self._answers[at])
        return last + self._floor_ns

    def expire(self, now: int) -> bool:
        """Whether the trace is at its end: nothing is left to send or to wait for."""
        if self.ended is None:
            closes_at = self.closes_at()
            if closes_at is not None and closes_at <= now:
                self.ended = now
        return self.ended is not None

    def stop(self, now: int) -> None:
        """Ends the trace with what there is."""
        if self.ended is None:
            self.ended = now

    def _patience(self, at: int, later_rtt: int) -> int:
        if self._longest_rtt[at]:
            patience = HERE * self._longest_rtt[at]
        elif later_rtt:
            patience = NEAR * later_rtt
        elif at >= self.end_ttl:  # beyond the barrier
            patience = HERE * self._longest_rtt[self.end_ttl - 1]
        else:
            return self.spec.wait_ns
        return min(max(patience, self._floor_ns), self.spec.wait_ns)

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
            spared = earlier and ttl > min(self._expected_ttl, self._barrier_ttl)
            if not spared and ttl <= self._target_ttl:
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


def may_be_translated(heard: Heard, flow: Flow) -> bool:
    """Whether a quoted probe of another flow may be one of this, which a translator gave another
    source, and with that another port or identifier."""
    key = heard.key._replace(identifier=flow.identifier)
    translates = flow.packet_type in (PacketType.ICMP, PacketType.UDP)
    return translates and key == flow.key and heard.source not in (None, flow.source)


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


def names_no_probe(heard: Heard) -> bool:
    """Whether that kind of answer never tells its probe: a service's datagram, or a quote of GRE
    that ends with the key where routers clear the identification."""
    return heard.kind is AnswerKind.DATAGRAM or heard.key.packet_type is PacketType.GRE
