"""The rules of a trace, as pure functions on numbers.

`engine.trace` applies them to one trace, `bulk` to many at once: each function takes ints, or numpy
arrays that broadcast. A flag is a bool, or an array of bools. Times are monotonic nanoseconds,
TTLs count from 1, and an RTT of 0 means that none is known. Budgets are in `engine.limits.budget`,
and what a packet says about the path is in `engine.verdict`.

**Sending.** Probes leave in ascending TTL order, all of one TTL after each other. If a target
allows only a few answers (Linux: 6, then one a second), the probes of its own TTL get them. The
lowest TTL at which the target answered ends the path: probes beyond it are neither sent nor waited
for. Beyond the expected distance, and beyond a refusal, each TTL has one probe only.

**Patience.** A silent probe is waited for at most `wait_ns`, and less on a quick path:
`OWN_HOP_FACTOR` times the longest RTT of its own hop, or `LATER_HOP_FACTOR` times that of the
nearest later hop that answered, as Linux's traceroute does. The floor is what a router's slow
path may take.
"""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy.typing as npt
from colotrace_proto.messages import NodeKind

OWN_HOP_FACTOR = 3
LATER_HOP_FACTOR = 10
_FLOOR_NS = 250_000_000

DOUBTFUL = 3
"""A kind of answer beside those of `NodeKind`: a refusal that may be the target's, until its trace
has ended (see `engine.refusals`)."""

# Members of an enumeration are slower to compare.
_TARGET, _BARRIER = int(NodeKind.TARGET), int(NodeKind.BARRIER)

Number = TypeVar("Number", int, npt.NDArray[Any])


class Bounds(NamedTuple, Generic[Number]):
    """What the answers so far say about the path; beyond all TTLs where they say nothing."""

    target_ttl: Number
    """The lowest TTL at which the target answered."""
    expected_ttl: Number
    """The TTL that should reach the target, by this trace or an earlier one."""
    barrier_ttl: Number
    """The lowest TTL at which a router refused a probe."""
    refusal_ttl: Number
    """The lowest TTL of any refusal, doubtful ones included."""


# Sending.


def probe_at(place: Number, packets_per_ttl: int) -> tuple[Number, Number]:
    """The TTL of the probe at that place in the order of sending, and how many of that TTL come
    before it."""
    return place // packets_per_ttl + 1, place % packets_per_ttl


def probes_at(ttl: Number, packets_per_ttl: int, bounds: Bounds[Number]) -> Number:
    """How many probes of that TTL are to be sent: none beyond the target, one beyond where the
    target is expected or a refusal came (the refuser may let others pass)."""
    whole = (ttl <= bounds.expected_ttl) & (ttl <= bounds.refusal_ttl)
    return (ttl <= bounds.target_ttl) * (1 + (packets_per_ttl - 1) * whole)


# Answers.


def is_first(*, has_left: Number, is_answered: Number, is_over: Number) -> Number:
    """Whether an answer counts, as the first to its probe while its trace runs."""
    return has_left > (is_answered | is_over)


def is_duplicate(*, has_left: Number, is_answered: Number) -> Number:
    """Whether an answer that does not count is a duplicate: also after the trace has ended.

    Else it is foreign if its probe did not leave, and late if it did.
    """
    return has_left & is_answered


def takes_stamp(sent_at: Number, is_answered: Number) -> Number:
    """Whether the kernel's time stamp of a probe's departure is used: an answer's RTT counts from
    the departure as known when it arrived."""
    return (sent_at > 0) > is_answered


def rtt_ns(sent_at: Number, *, at: Number, read_at: int) -> tuple[Number, Number]:
    """The RTT of an answer that arrived at `at`, and whether the wall clock was set meanwhile:
    then it counts up to `read_at`, when the agent read the answer."""
    stepped = at < sent_at
    return at + (read_at - at) * stepped - sent_at, stepped


def answer_bounds(kind: Number, ttl: Number, ttl_left: Number, nowhere: int) -> Bounds[Number]:
    """The bounds that one answer sets; `nowhere` is beyond all TTLs.

    `ttl_left` is how much of its TTL the probe had left at the target: with so much less it would
    have come as far. An impossible one, quoted by a faulty node, is ignored.
    """
    is_target = kind == _TARGET
    needed = ttl - ttl_left * (ttl_left < ttl)
    return Bounds(
        target_ttl=_choose(is_target, ttl, nowhere),
        expected_ttl=_choose(is_target, needed, nowhere),
        barrier_ttl=_choose(kind == _BARRIER, ttl, nowhere),
        refusal_ttl=_choose(kind >= _BARRIER, ttl, nowhere),
    )


def port_unreachable_kind(from_target: Number) -> Number:
    """The kind of a "port unreachable": the target's, or doubtful from another address."""
    return _choose(from_target, 0 * from_target + _TARGET, DOUBTFUL)


# Ending.


def is_missing(sent: Number, answers: Number, ttl: Number, target_ttl: Number) -> Number:
    """Whether a hop lacks answers that are waited for."""
    return (sent > answers) & (ttl <= target_ttl)


def is_waited_for(sent_at: Number, is_answered: Number, *, at: int, wait_ns: int) -> Number:
    """Whether a probe had no answer at that time and may still have got one."""
    return ((sent_at > 0) > is_answered) & (at - sent_at <= wait_ns)


def floor_ns(wait_ns: int) -> int:
    """The shortest patience with a silent probe."""
    return min(max(_FLOOR_NS, wait_ns // 4), wait_ns)


def ends_path(barrier_ttl: Number, furthest_transit: Number) -> Number:
    """Whether a router's refusal seems to end the path: no router beyond it answered."""
    return furthest_transit <= barrier_ttl


def waited_until(
    missing: Sequence[Number],
    last_sent_at: Sequence[Number],
    longest_rtt: Sequence[Number],
    *,
    since: Number,
    barrier_ttl: Number,
    barrier_rtt: Number,
    wait_ns: int,
) -> Number:
    """When the last silent probe will have been waited for; at least `since`.

    The first three have one value a TTL. `barrier_rtt` is the longest RTT at `barrier_ttl` where a
    refusal there ends the path, else 0.
    """
    floor = floor_ns(wait_ns)
    until, later_rtt = since, 0 * since
    for ttl in range(len(missing), 0, -1):
        own_rtt = longest_rtt[ttl - 1]
        patience = patience_ns(
            own_rtt, later_rtt, barrier_rtt * (ttl > barrier_ttl), wait_ns=wait_ns, floor=floor
        )
        until = larger(until, (last_sent_at[ttl - 1] + patience) * missing[ttl - 1])
        later_rtt = _known(own_rtt, later_rtt)
    return until


def patience_ns(
    own_rtt: Number, later_rtt: Number, barrier_rtt: Number, *, wait_ns: int, floor: int
) -> Number:
    """How long a silent probe is waited for: by its own hop's RTT, the nearest later hop's, or
    that of a refusal before it."""
    by_rtt = _known(OWN_HOP_FACTOR * own_rtt, LATER_HOP_FACTOR * later_rtt)
    by_rtt = _known(by_rtt, OWN_HOP_FACTOR * barrier_rtt)
    patience = _choose(by_rtt > 0, by_rtt, wait_ns)
    patience = patience + (floor - patience) * (patience < floor)
    return patience + (wait_ns - patience) * (patience > wait_ns)


# Arithmetic that is the same for ints and arrays.


def larger(one: Number, other: Number) -> Number:
    """The larger of two."""
    return one + (other - one) * (other > one)


def _known(rtt: Number, otherwise: Number) -> Number:
    """The RTT, or the other where it is 0."""
    return rtt + otherwise * (rtt == 0)


def _choose(flag: Number, one: Number, otherwise: int) -> Number:
    return otherwise + (one - otherwise) * flag
