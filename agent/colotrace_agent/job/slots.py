"""The places for jobs of an agent, and how many of them an account or a caller may have.

Jobs come from several coordinators, each of which knows only its own. So the agent, too, sees to it
that the jobs of one account leave room for those of the next. Only owners with jobs are counted.
"""

from collections import Counter
from collections.abc import Hashable
from typing import TypeVar

from colotrace_proto.messages import Owner
from colotrace_proto.notices import Notice, NoticeCode
from colotrace_proto.thresholds import FREE_TIMES_ACCOUNT, FREE_TIMES_CALLER

K = TypeVar("K", bound=Hashable)


class Slots:
    """`size` places, all free at first. Jobs without an owner count as one owner's."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._accounts: Counter[int | None] = Counter()
        self._callers: Counter[Owner | None] = Counter()

    @property
    def owners(self) -> int:
        """Accounts and callers that are counted."""
        return len(self._accounts) + len(self._callers)

    def refusal(self, owner: Owner | None) -> Notice | None:
        """Why the owner may not have one more place; None if it may."""
        free = self._size - self._taken
        if free <= 0:
            return Notice(NoticeCode.JOBS_FULL, count=self._size)
        for held, free_times in (
            (self._accounts.get(_account(owner), 0), FREE_TIMES_ACCOUNT),
            (self._callers.get(owner, 0), FREE_TIMES_CALLER),
        ):
            if held >= free_times * free:
                return Notice(NoticeCode.SHARE_OF_JOBS_FULL, count=held)
        return None

    def take(self, owner: Owner | None) -> None:
        """A job of the owner begins."""
        self._taken += 1
        self._accounts[_account(owner)] += 1
        self._callers[owner] += 1

    def release(self, owner: Owner | None) -> None:
        """A job of the owner has ended."""
        self._taken -= 1
        _less(self._accounts, _account(owner))
        _less(self._callers, owner)


def _account(owner: Owner | None) -> int | None:
    return None if owner is None else owner.account


def _less(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
