"""Measurements that are not, or not entirely, in the database: pure, without a clock.

An entry lives from the begin of its measurement until its end is written. Rows wait as they are
recorded until a batch packs them, and then as bytes until they are written. The number of rows that
wait is bounded. Beyond it the account with the most waiting rows loses its oldest ones: whole
measurements that have ended, or else the rows of a running one. What was lost is counted, and the
measurement is kept as partial.
"""

from typing import NamedTuple

from colotrace_proto.measured import Outcome, Status, Summary, Trace
from colotrace_proto.tally import NOTHING_KNOWN, Known
from msgspec.structs import replace

MAX_WAITING_ROWS = 20_000
"""About 15 MB once they are packed; before, ten times as much."""


class Packed(NamedTuple):
    """A chunk that waits to be written: its place, the numbers of its rows, and its blob."""

    number: int
    rows: tuple[int, ...]
    blob: bytes


class Entry:
    """A measurement that is not entirely in the database."""

    __slots__ = (
        "begun_to_write", "body", "body_rows", "changed", "chunks", "ended", "known", "listed",
        "lost", "packed", "removed", "rows", "size", "stored", "summary", "weight",
    )  # fmt: skip

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        self.rows: dict[int, Trace] = {}
        """Rows that are not packed."""
        self.packed: list[Packed] = []
        """Chunks that are not written."""
        self.body: bytes | None = None
        """The packed body of a measurement that has ended, with the rows `body_rows`."""
        self.body_rows: tuple[int, ...] = ()
        self.known = NOTHING_KNOWN
        self.changed = True
        """Whether something is not in the database."""
        self.ended = self.removed = False
        self.lost = 0
        self.begun_to_write = False
        """Whether the database may have it."""
        self.stored = False
        """Whether the database has it, under the outcome `listed`, with so many `chunks`."""
        self.listed = Outcome.COMPLETE
        self.chunks = 0
        self.size = 0
        self.weight = 0
        """The rows that wait, and one for the measurement itself."""

    def count(self, traces: dict[int, Trace]) -> None:
        """Count rows of a running measurement, whose summary is of its begin."""
        summary = self.summary
        failed = sum(trace.gathered.code != 0 for trace in traces.values())
        reached = sum(not trace.gathered.code and trace.reached for trace in traces.values())
        self.summary = replace(
            summary,
            finished=summary.finished + len(traces),
            failed=summary.failed + failed,
            unreached=summary.unreached + len(traces) - failed - reached,
        )

    def held(self) -> "Held":
        """What waits of it now."""
        return Held(self.summary, dict(self.rows), tuple(self.packed), self.body, self.known)


class Held(NamedTuple):
    """What waits of a measurement at one moment. Before the body is packed, all names and ASNs are
    in `known`; rows are in `rows`, in `packed` or in the body."""

    summary: Summary
    rows: dict[int, Trace]
    packed: tuple[Packed, ...]
    body: bytes | None
    known: Known


class Waiting:
    """All entries, in the order of their begin."""

    def __init__(self, *, most_rows: int = MAX_WAITING_ROWS) -> None:
        self._most_rows = most_rows
        self._entries: dict[str, Entry] = {}
        self._of_account: dict[str, dict[str, Entry]] = {}
        self._weights: dict[str, int] = {}
        self.rows = 0
        """Rows that wait, and one for each measurement."""
        self.dropped = 0
        """Rows that were lost since the start."""

    def __len__(self) -> int:
        """Measurements that wait."""
        return len(self._entries)

    def get(self, measurement_id: str, account_id: str) -> Entry | None:
        """The account's entry of that id."""
        entry = self._entries.get(measurement_id)
        if entry is None or entry.removed or entry.summary.account_id != account_id:
            return None
        return entry

    def has(self, measurement_id: str) -> bool:
        """Whether there is an entry, even a removed one."""
        return measurement_id in self._entries

    def of_account(self, account_id: str) -> list[Entry]:
        """The account's entries."""
        return [e for e in self._of_account.get(account_id, {}).values() if not e.removed]

    def changed(self) -> list[Entry]:
        """The entries with something to write."""
        return [entry for entry in self._entries.values() if entry.changed]

    @property
    def runs(self) -> bool:
        """Whether a measurement runs that the database has or will have."""
        return any(not entry.ended for entry in self._entries.values())

    def begun(self, summary: Summary) -> None:
        """A measurement begins."""
        entry = Entry(summary)
        self._entries[summary.id] = entry
        self._of_account.setdefault(summary.account_id, {})[summary.id] = entry
        self.grow(entry, 1)

    def row(self, summary: Summary, number: int, trace: Trace) -> None:
        """A row of it has ended."""
        entry = self._entries.get(summary.id)
        if entry is None or entry.removed:
            return
        more = number not in entry.rows
        entry.rows[number] = trace
        entry.changed = True
        self.grow(entry, int(more))

    def ended(self, summary: Summary, known: Known) -> None:
        """It has ended; the summary is the last one."""
        entry = self._entries.get(summary.id)
        if entry is None:
            return
        entry.summary, entry.known = summary, known
        entry.summary = _final(entry)
        entry.ended = entry.changed = True
        if entry.removed:
            self.drop(entry)

    def remove(self, entry: Entry) -> None:
        """Forget it: one that still runs is not written any more."""
        entry.removed, entry.changed = True, False
        if entry.ended:
            self.drop(entry)
        else:
            self._empty(entry)

    def forget(self, measurement_id: str) -> None:
        """Drop the entry of that id without writing it."""
        entry = self._entries.get(measurement_id)
        if entry is not None:
            self.drop(entry)

    def drop(self, entry: Entry) -> None:
        """The entry is written, or lost."""
        account = entry.summary.account_id
        if self._entries.pop(entry.summary.id, None) is not None:
            self.grow(entry, -entry.weight)
            of_account = self._of_account[account]
            del of_account[entry.summary.id]
            if not of_account:
                del self._of_account[account], self._weights[account]

    def lose(self, entry: Entry) -> None:
        """Lose the rows of an entry; and the entry itself if it has none, or if it has ended
        and the database has nothing of it."""
        rows = entry.weight - 1
        self.dropped += rows
        if rows and (entry.begun_to_write or not entry.ended):
            entry.lost += rows
            entry.summary = _final(entry)
            self._empty(entry)
        else:
            self.drop(entry)

    def grow(self, entry: Entry, rows: int) -> None:
        """So many more rows of the entry wait."""
        account = entry.summary.account_id
        if not rows or account not in self._of_account:
            return
        self.rows += rows
        entry.weight += rows
        self._weights[account] = self._weights.get(account, 0) + rows
        while rows > 0 and self.rows > self._most_rows:
            if not self._shed():
                return

    def _shed(self) -> bool:
        """Lose the oldest rows of the account with the most; returns whether there were any."""
        account = max(self._weights, key=lambda each: self._weights[each])
        entries = self._of_account[account].values()
        # What the database has of a running measurement needs its end.
        whole = next((e for e in entries if e.ended and not e.begun_to_write), None)
        if whole is not None:
            self.lose(whole)
            return True
        full = next((entry for entry in entries if entry.weight > 1), None)
        if full is None:
            return False
        self.lose(full)
        return True

    def _empty(self, entry: Entry) -> None:
        less = entry.weight - 1
        entry.rows, entry.packed = {}, []
        entry.body, entry.body_rows, entry.known = None, (), NOTHING_KNOWN
        self.grow(entry, -less)


def _final(entry: Entry) -> Summary:
    """The summary: one that has lost rows is partial."""
    if entry.lost and entry.summary.status is Status.COMPLETE:
        return replace(entry.summary, status=Status.PARTIAL)
    return entry.summary
