"""Routers on the paths, learned from answers: their order, and which limit their answers' rate.

Routers limit the rate of ICMP errors (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 f), and the
traces of one host share the nearest routers. A router that has withheld answers is remembered.
From then on, probes that are expected to expire there are spaced, and share the number of answers
that it is known to give.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from .budget import Bucket, Budget

SPACING_NS = 21_000_000
"""Interval between two probes to a router with a known limit: 20 ms, and 1 ms for the jitter of
timers and queues."""
KEPT_NS = 600 * 10**9
"""Expiry of what is known of a router."""
_MOST = 16_384
# Up to this TTL, traces are assumed to share their routers, if nothing else is known.
_ALIKE = 3
_WINDOW_NS = 10**9
# p-values below which missing answers are attributed to a rate limit: for the notice about one
# trace, and for remembering the router.
PROBABLE, _CERTAIN = 0.015, 1e-4
_COUNTED_OUT = 64

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class Limit:
    """The schedule of probes to a router with a limit: spaced, and no more than it answers."""

    def __init__(self, *, answers: int, now: int) -> None:
        """`answers` is how many it gave in a second in which it withheld others."""
        self.answers = answers
        self.known_at = now
        self._budget = Budget(Bucket(answers, answers))
        self._free_at = now
        self.asked_at = now - SPACING_NS
        """When the last probe to it left."""

    def has_room(self, now: int) -> bool:
        """Whether it will probably answer one more probe."""
        return self._budget.available(now) > 0

    def book(self, now: int) -> int:
        """Reserve the next departure to it, and return its time."""
        at = max(now, self._free_at)
        self._free_at = at + SPACING_NS
        self._budget.available(now)  # refills it before tokens are spent
        self._budget.spend(1)
        return at


class _Place(NamedTuple):
    """An address at a TTL. Its length tells the family."""

    ttl: int
    address: bytes


class _Seen(NamedTuple):
    at: int
    address: bytes | None


class _Recent:
    """Answers of one address in this second and the one before, and those it probably withheld."""

    __slots__ = ("answers", "earlier_answers", "earlier_lost", "last", "lost", "since")

    def __init__(self, now: int) -> None:
        self.since = self.last = now
        self.answers = self.lost = self.earlier_answers = self.earlier_lost = 0

    def turn(self, now: int) -> None:
        """Begin a new second if the present one is over."""
        past = now - self.since
        if past > _WINDOW_NS:
            within = past <= 2 * _WINDOW_NS
            self.earlier_answers = self.answers if within else 0
            self.earlier_lost = self.lost if within else 0
            self.answers = self.lost = 0
            self.since = now


class Routers:
    """What is known of routers. All tables are bounded, and their entries expire."""

    def __init__(self) -> None:
        self._limits: OrderedDict[bytes, Limit] = OrderedDict()
        self._before: OrderedDict[_Place, _Seen] = OrderedDict()
        # The only address seen, by address length and TTL; None if there were several.
        self._only: dict[tuple[int, int], _Seen] = {}
        self._recent: OrderedDict[bytes, _Recent] = OrderedDict()

    @property
    def knows_limits(self) -> bool:
        """Whether any router is known to limit its answers."""
        return bool(self._limits)

    def passed(self, path: dict[int, bytes], ttl: int, address: bytes, *, now: int) -> None:
        """Record in `path`, the nodes of a trace by TTL, that `address` answered at `ttl`."""
        if path.get(ttl) == address:
            return
        path[ttl] = address
        if ttl - 1 in path:
            _remember(self._before, _Place(ttl, address), _Seen(now, path[ttl - 1]))
        if ttl + 1 in path:
            _remember(self._before, _Place(ttl + 1, path[ttl + 1]), _Seen(now, address))
        known = self._only.get((len(address), ttl))
        if known is None or known.address == address or now - known.at > KEPT_NS:
            self._only[len(address), ttl] = _Seen(now, address)
        elif known.address is not None:
            self._only[len(address), ttl] = _Seen(now, None)

    def count(self, address: bytes, answers: int, *, now: int) -> None:
        """Count so many answers of that address."""
        recent = self._recent.get(address)
        if recent is None:
            recent = _Recent(now)
            _remember(self._recent, address, recent)
        recent.turn(now)
        recent.answers += answers
        recent.last = now

    def limits_of(
        self, target: bytes, *, max_ttl: int, distance: int | None, now: int
    ) -> dict[int, Limit]:
        """By TTL, the known limits of routers at which probes to the target will probably expire.

        `distance` is the target's, if it is known.
        """
        found: dict[int, Limit] = {}
        if not self._limits:  # as nearly always
            return found
        ends = {distance: target} if distance else {}
        for ttl in range(1, max_ttl + 1):
            router = self._probably(ttl, ends, size=len(target), now=now, alike=_ALIKE)
            limit = self._known(router, now)
            if limit is not None:
                found[ttl] = limit
        return found

    def judge(
        self,
        path: Mapping[int, bytes],
        sent: Sequence[int],
        answers: Sequence[int],
        *,
        target: bytes,
        started: int,
        now: int,
    ) -> list[int]:
        """Learn the routers that probably withheld answers from an ended trace. Returns their TTLs.

        `path` has the node of each TTL, `sent` and `answers` count from TTL 1 to the trace's end.

        What is lost on the way is lost to every hop beyond, too. If a later hop answered all
        probes, and loss as seen beyond makes so many missing answers unlikely, a hop has withheld
        them. A silent hop has, if the router that is probably there answered other traces
        meanwhile.
        """
        witnessed = max(
            (ttl for ttl, n in enumerate(sent, 1) if 0 < n == answers[ttl - 1]), default=0
        )
        limiting = []
        sent_beyond = lost_beyond = 0
        for ttl in range(len(sent), 0, -1):
            asked, given = sent[ttl - 1], answers[ttl - 1]
            if ttl < witnessed and given < asked:
                router = path.get(ttl)
                if not given:
                    router = self._probably(ttl, path, size=len(target), now=now, alike=1)
                    recent = self._recent.get(router or b"")
                    if recent is None or recent.last < started - _WINDOW_NS:
                        router = None
                usual = (lost_beyond + 1) / (sent_beyond + 2)
                if (router or given) and self._limits_answers(
                    router, asked=asked, answers=given, usual=usual, now=now
                ):
                    limiting.append(ttl)
                    continue  # its losses say nothing about the way
            if given:
                sent_beyond += asked
                lost_beyond += asked - given
        return limiting[::-1]

    def _limits_answers(
        self, router: bytes | None, *, asked: int, answers: int, usual: float, now: int
    ) -> bool:
        """Whether a rate limit explains a router's missing answers better than loss; `usual` is the
        probability of loss on the way."""
        if router is not None:
            recent = self._recent.get(router) or _Recent(now)
            recent.turn(now)
            recent.lost += asked - answers
            given = recent.answers + recent.earlier_answers
            missed = recent.lost + recent.earlier_lost
            if given and chance(missed, of=given + missed, each=usual) < _CERTAIN:
                self._learn(router, max(recent.answers, recent.earlier_answers), now)
                return True
            if self._known(router, now) is not None:
                return True
        return chance(asked - answers, of=asked, each=usual) < PROBABLE

    def _probably(
        self, ttl: int, path: Mapping[int, bytes], *, size: int, now: int, alike: int
    ) -> bytes | None:
        """The router that probably answers at that TTL of a path of which `path` is known.

        It is the one seen before the nearest known node beyond. Else, up to TTL `alike`, it is the
        only one ever seen at that TTL, unless the known nodes before it show another path.
        """
        beyond = min((known for known in path if known > ttl), default=None)
        if beyond is not None:
            came_before = self._back(_Place(beyond, path[beyond]), ttl, now)
            if came_before is not None:
                return came_before
        if ttl > alike:
            return None
        if any(self._only_at(near, size, now) != path[near] for near in path if near < ttl):
            return None
        return self._only_at(ttl, size, now)

    def _back(self, place: _Place, ttl: int, now: int) -> bytes | None:
        while place.ttl > ttl:
            seen = self._before.get(place)
            if seen is None or seen.address is None or now - seen.at > KEPT_NS:
                return None
            place = _Place(place.ttl - 1, seen.address)
        return place.address

    def _only_at(self, ttl: int, size: int, now: int) -> bytes | None:
        known = self._only.get((size, ttl))
        return known.address if known is not None and now - known.at <= KEPT_NS else None

    def _known(self, router: bytes | None, now: int) -> Limit | None:
        limit = self._limits.get(router or b"")
        return limit if limit is not None and now - limit.known_at <= KEPT_NS else None

    def _learn(self, router: bytes, answers: int, now: int) -> None:
        known = self._known(router, now)
        if known is None or answers < known.answers:
            known = Limit(answers=max(answers, 1), now=now)
        known.known_at = now
        _remember(self._limits, router, known)


def chance(lost: int, *, of: int, each: float) -> float:
    """The probability that at least `lost` of `of` probes are lost, each with `each`."""
    if lost <= of * each:
        return 1.0
    if of <= _COUNTED_OUT:
        return sum(math.comb(of, k) * each**k * (1 - each) ** (of - k) for k in range(lost, of + 1))
    share = lost / of  # Chernoff's bound
    distance = share * math.log(share / each)
    if lost < of:
        distance += (1 - share) * math.log((1 - share) / (1 - each))
    return math.exp(-of * distance)


def _remember(known: "OrderedDict[_Key, _Value]", key: _Key, value: _Value) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > _MOST:
        known.popitem(last=False)
