"""When changed families are told, on a clock that the test controls."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import cast

from colotrace_agent.link.capability import LONGEST_S, SETTLE_S, SHORTEST_S, FamilyNews
from colotrace_proto.messages import Family

NONE: frozenset[Family] = frozenset()
FOUR, SIX = frozenset({Family.IPV4}), frozenset({Family.IPV6})
BOTH = FOUR | SIX


class FakeLoop:
    """Time, and one timer."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.due: tuple[float, Callable[[], None]] | None = None

    def time(self) -> float:
        """Seconds."""
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> "FakeLoop":
        """As asyncio's."""
        assert self.due is None
        self.due = (at, call)
        return self

    def cancel(self) -> None:
        """As a timer's."""
        self.due = None

    def go(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.due is not None and self.due[0] <= end:
            self.now, call = self.due
            self.due = None
            call()
        self.now = end


class Host:
    """Families that a test changes, and what was told of them, and when."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.families = NONE
        self.told: list[tuple[float, frozenset[Family]]] = []
        self.news = FamilyNews(
            NONE, lambda: self.families, self._tell, loop=cast(AbstractEventLoop, self.loop)
        )

    def _tell(self, families: frozenset[Family]) -> None:
        self.told.append((self.loop.now, families))

    def change(self, families: frozenset[Family], *, after_s: float = 0.0) -> None:
        """An address comes or goes."""
        self.loop.go(after_s)
        self.families = families
        self.news.look()


def test_changes_of_one_moment_are_told_once() -> None:
    """Both families came up together."""
    host = Host()
    host.change(FOUR)
    host.change(BOTH, after_s=SETTLE_S / 2)
    host.loop.go(60)
    assert [families for _, families in host.told] == [BOTH]


def test_a_family_that_goes_is_told_too() -> None:
    """The second change waits for the shortest interval."""
    host = Host()
    host.change(BOTH)
    host.change(SIX, after_s=SETTLE_S)
    host.loop.go(60)
    (first, came), (second, left) = host.told
    assert (came, left) == (BOTH, SIX)
    assert second - first == SHORTEST_S


def test_what_has_changed_back_is_not_told() -> None:
    """Nothing is new."""
    host = Host()
    host.change(FOUR)
    host.change(NONE, after_s=SETTLE_S / 2)
    host.loop.go(60)
    assert host.told == []


def test_what_flaps_is_told_ever_less_often_and_its_last_state_always() -> None:
    """Ten minutes of changes each second; then quiet, and the interval is short again."""
    host = Host()
    for second in range(600):
        host.change(FOUR if second % 2 else BOTH, after_s=1.0)
    host.change(SIX, after_s=1.0)
    host.loop.go(2 * LONGEST_S)
    assert host.told[-1][1] == SIX
    assert len(host.told) < 30
    pauses = [b[0] - a[0] for a, b in zip(host.told, host.told[1:], strict=False)]
    assert max(pauses[:-1]) <= LONGEST_S + 2
    host.loop.go(10 * LONGEST_S)
    host.change(FOUR)
    host.change(SIX, after_s=SHORTEST_S / 2)
    host.loop.go(60)
    (first, _), (second, _) = host.told[-2:]
    assert second - first == SHORTEST_S


def test_nothing_is_told_after_the_end() -> None:
    """The link is gone."""
    host = Host()
    host.change(FOUR)
    host.news.close()
    host.loop.go(60)
    assert host.told == []
