"""What measurements need of the history, and of the other coordinators."""

from collections.abc import Sequence
from typing import Protocol

from colotrace_proto.measured import Measured, Summary, Trace
from colotrace_proto.messages import ColoName
from colotrace_proto.tally import Known

from colotrace_coordinator.live.feed import Feed
from colotrace_coordinator.model import Filter


class History(Protocol):
    """Keeps measurements. Nothing that is queued here waits for the disk; what is queued is found
    at once. Errors of reading are `StoreError`."""

    def begun(self, summary: Summary) -> None:
        """A measurement begins."""

    def row(self, summary: Summary, number: int, trace: Trace) -> None:
        """A row of it has ended."""

    def ended(self, summary: Summary, known: Known) -> None:
        """It has ended."""

    async def find(self, account_id: str, measurement_id: str) -> Summary | None:
        """A measurement of the account, without its rows."""

    async def show(self, account_id: str, measurement_id: str) -> Measured | None:
        """A measurement of the account."""

    async def newest(
        self, account_id: str, wanted: Filter, *, before: str | None, skip: int, most: int
    ) -> Sequence[Summary]:
        """The account's measurements, newest first: of those with an id less than `before`, `most`
        after the first `skip`."""

    async def pair(
        self, account_id: str, target: str, colo: ColoName, *, up_to: str, most: int
    ) -> Sequence[Measured]:
        """The rows of a target and a colo, each with its measurement, newest first; only those
        with an id of at most `up_to`."""

    async def remove(self, account_id: str, measurement_id: str) -> bool:
        """Delete one; whether there was one."""


class Relay(Protocol):
    """Asks the other coordinators about measurements that run there."""

    async def follow(
        self, account_id: str, measurement_id: str, *, position: int = 0
    ) -> Feed | None:
        """Its events, with the one at `position` if there is such; None if no other coordinator
        runs it."""

    async def cancel(self, account_id: str, measurement_id: str) -> bool:
        """Whether another coordinator ran it, and cancels it."""
