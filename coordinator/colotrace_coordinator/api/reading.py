"""The bound on the rows of kept measurements that are in memory for answers.

A measurement of thousands of rows takes tens of megabytes until its answer has been sent, and a
client may read slowly. So the rows are counted, in all and for each account.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from colotrace_proto.measured import Summary

from .errors import OverloadedError, TooManyReadsError

MAX_ROWS, MAX_ROWS_OF_ACCOUNT = 30_000, 15_000
"""A row of 15 hops with 45 replies takes 5 KB, and 18 KB if its events are read: up to 540 MB."""
_REPLIES = 45
_MULTIPATH_ROWS = 45
"""A multipath row counts as so many. It has some 2,000 replies if it is wide, 8,192 at most."""


def rows_held(summary: Summary, rows: int | None = None) -> int:
    """How many rows of 45 replies a measurement counts as, or so many of its rows."""
    options = summary.options
    each = _MULTIPATH_ROWS if options.multipath else -(-options.packets // _REPLIES)
    return (summary.rows if rows is None else rows) * each


class Reading:
    """The rows that answers hold."""

    def __init__(self, *, most: int = MAX_ROWS, most_of_account: int = MAX_ROWS_OF_ACCOUNT) -> None:
        self._most = most
        self._most_of_account = most_of_account
        self._held: Counter[str] = Counter()

    @property
    def rows(self) -> int:
        """Rows that are held."""
        return self._held.total()

    @contextmanager
    def enter(self, account: str, rows: int) -> Iterator[None]:
        """Hold so many rows. One measurement alone is never too large.

        Raises:
            TooManyReadsError: the account would hold more than its share.
            OverloadedError: all together would hold more than may be.
        """
        held = self._held[account]
        if held and held + rows > self._most_of_account:
            raise TooManyReadsError
        if self._held.total() and self._held.total() + rows > self._most:
            raise OverloadedError
        self._held[account] += rows
        try:
            yield
        finally:
            self._held[account] -= rows
            if not self._held[account]:
                del self._held[account]
