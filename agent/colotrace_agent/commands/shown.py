"""How `colotrace-agent trace` shows a target's row: a table, a line of JSON, or another format."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from colotrace_proto import rows, tally
from colotrace_proto.failures import error_code
from colotrace_proto.messages import Failure, Frame, Outcome
from colotrace_proto.notices import sentence
from colotrace_proto.text import safe_json

from colotrace_agent.host.resolve import Resolver, parse_address

from .names import Names
from .outputs import Outputs

if TYPE_CHECKING:
    from .trace import TraceSettings


class Shown:
    """Prints rows, one after the other.

    `errors` counts rows with an error. `unreached` counts rows of targets that did not answer,
    including those with an error. `ask` allows look-ups of names that are not cached.
    """

    def __init__(self, settings: "TraceSettings", resolver: Resolver, outputs: Outputs) -> None:
        self.errors = self.unreached = 0
        self.ask = True
        self._settings = settings
        self._outputs = outputs
        self._names = Names(resolver.name)
        self._begun = False

    async def show(self, target: str, frame: Frame) -> None:
        """Prints the row of a job's only frame. Returns once there is room for another row."""
        settings = self._settings
        ended_ms = round(time.time() * 1e3)
        outcome = frame.outcome or Outcome(Failure.INTERNAL)
        code = error_code(outcome.failure)
        gathered = tally.Gathered(
            target=target,
            colo=settings.colo,
            target_address=frame.target_address,
            sent=frame.sent,
            replies=frame.replies,
            duration_ns=outcome.duration_ns,
            code=code,
            unplaced=outcome.unplaced,
            own_ends=tally.has_own_ends(settings.job.packet_type, multipath=settings.job.multipath),
            links=outcome.links if settings.job.multipath else None,
        )
        known = tally.NOTHING_KNOWN
        batch = tally.Batch([gathered])
        if settings.names:
            known = await self._known(batch.addresses())
        (row,) = batch.colo_rows(known)
        self.errors += bool(code)
        self.unreached += not row.target_summary.packet_count
        notes = [sentence(each) for each in (outcome.cause, *outcome.notices) if each is not None]
        if settings.json:
            line = msgspec.json.encode(rows.TargetRow(target=target, colos=[row]))
            self._outputs.row(safe_json(line.decode()).encode() + b"\n")
            self._note(target, notes)
        elif settings.format is not None:
            from .recorded import recorded

            pieces = settings.format.render(
                recorded(gathered, frame, settings.job, ended_ms=ended_ms, known=known),
                follows=self._begun,
            )
            self._begun = True
            text = "".join(pieces)
            if settings.format.is_for_people:
                self._outputs.text(text)
            else:
                self._outputs.row(text.encode())
                self._note(target, notes)
        else:
            from colotrace_proto.table import trace_table

            table = trace_table(target, row, on=self._outputs.stdout, notes=notes)
            self._outputs.text(table)
        await self._outputs.drain()

    def _note(self, target: str, notes: Sequence[str]) -> None:
        for note in notes:
            self._outputs.note(f"{target}: {note}")

    async def _known(self, addresses: set[str]) -> tally.Known:
        """Names of the addresses that will be shown, as far as they are found in time."""
        packed = {text: parse_address(text) or b"" for text in addresses}
        found = await self._names.of(set(packed.values()), ask=self.ask)
        names = {text: found[address] for text, address in packed.items() if address in found}
        return tally.Known(names, {})
