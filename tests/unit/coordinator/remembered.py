"""A history in memory, in the place of that in the database; the same tests hold for both."""

from collections.abc import Sequence

from colotrace_coordinator.model import Filter
from colotrace_proto.measured import Measured, Status, Summary, Trace
from colotrace_proto.messages import ColoName
from colotrace_proto.tally import NOTHING_KNOWN, Known


class RememberedHistory:
    """`measurements.keeping.History`."""

    def __init__(self) -> None:
        self.summaries: dict[str, Summary] = {}
        self.traces: dict[str, dict[int, Trace]] = {}
        self.known: dict[str, Known] = {}

    def begun(self, summary: Summary) -> None:
        self.summaries[summary.id] = summary
        self.traces[summary.id] = {}

    def row(self, summary: Summary, number: int, trace: Trace) -> None:
        self.traces[summary.id][number] = trace

    def ended(self, summary: Summary, known: Known) -> None:
        self.summaries[summary.id] = summary
        self.known[summary.id] = known

    async def find(self, account_id: str, measurement_id: str) -> Summary | None:
        found = self.summaries.get(measurement_id)
        return found if found is not None and found.account_id == account_id else None

    async def show(self, account_id: str, measurement_id: str) -> Measured | None:
        summary = await self.find(account_id, measurement_id)
        if summary is None:
            return None
        known = self.known.get(measurement_id, NOTHING_KNOWN)
        return Measured(summary=summary, traces=self.traces[measurement_id], known=known)

    async def newest(
        self, account_id: str, wanted: Filter, *, before: str | None, skip: int, most: int
    ) -> Sequence[Summary]:
        found = [
            each
            for number, each in sorted(self.summaries.items(), reverse=True)
            if each.account_id == account_id
            and (before is None or number < before)
            and _wanted(each, wanted)
        ]
        return found[skip : skip + most]

    async def pair(
        self, account_id: str, target: str, colo: ColoName, *, up_to: str, most: int
    ) -> Sequence[Measured]:
        found = []
        for number, summary in sorted(self.summaries.items(), reverse=True):
            if number > up_to or summary.account_id != account_id:
                continue
            if target not in summary.targets or colo not in summary.colos:
                continue
            row = summary.targets.index(target) * len(summary.colos) + summary.colos.index(colo)
            if (trace := self.traces[number].get(row)) is not None:
                known = self.known.get(number, NOTHING_KNOWN)
                found.append(Measured(summary=summary, traces={row: trace}, known=known))
        return found[:most]

    async def remove(self, account_id: str, measurement_id: str) -> bool:
        summary = await self.find(account_id, measurement_id)
        if summary is None or summary.status is Status.RUNNING:
            return False
        del self.summaries[measurement_id]
        return True


def _wanted(summary: Summary, wanted: Filter) -> bool:
    colos = {*summary.colos, *(name.rstrip("0123456789") for name in summary.colos)}
    return (
        (not wanted.target or wanted.target in summary.targets)
        and (not wanted.colo or wanted.colo in colos)
        and (wanted.since_ms is None or summary.began_ms >= wanted.since_ms)
        and (wanted.until_ms is None or summary.began_ms < wanted.until_ms)
        and (wanted.packet_type in (None, summary.options.packet_type))
        and (wanted.outcome in (None, summary.outcome))
    )
