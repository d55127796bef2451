"""How `colotrace-agent trace` shows a target's row: a table, or a line of JSON."""

from dataclasses import dataclass

import msgspec
from colotrace_proto import rows, tally
from colotrace_proto.failures import error_code
from colotrace_proto.messages import Failure, Frame, Outcome, PacketType
from colotrace_proto.notices import sentence
from colotrace_proto.text import safe_json

from colotrace_agent.host.resolve import Resolver, parse_address

from .names import Names
from .outputs import Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowSettings:
    """Options of the command line for rows and their output."""

    packet_type: PacketType
    multipath: bool
    names: bool
    json: bool
    colo: rows.Colo


class Shown:
    """Prints rows, one after the other.

    `errors` counts rows with an error. `unreached` counts rows of targets that did not answer,
    including those with an error.
    """

    def __init__(self, settings: ShowSettings, resolver: Resolver, outputs: Outputs) -> None:
        self.errors = self.unreached = 0
        self._settings = settings
        self._outputs = outputs
        self._names = Names(resolver)

    async def show(self, target: str, frames: list[Frame], *, ask: bool = True) -> None:
        """Prints the row of these frames. `ask` allows look-ups of names that are not cached.

        Returns once there is room for another row. Raises `OutputError` if printing failed.
        """
        last, settings = frames[-1], self._settings
        outcome = last.outcome or Outcome(Failure.INTERNAL)
        code = error_code(outcome.failure)
        gathered = tally.Gathered(
            target=target,
            colo=settings.colo,
            target_address=last.target_address,
            sent=last.sent,
            replies=tally.merged([frame.replies for frame in frames]),
            duration_ns=outcome.duration_ns,
            code=code,
            unplaced=outcome.unplaced,
            own_ends=tally.has_own_ends(settings.packet_type, multipath=settings.multipath),
            links=outcome.links if settings.multipath else None,
        )
        known = tally.NOTHING_KNOWN
        if settings.names:
            known = await self._known([gathered], ask=ask)
        (row,) = tally.colo_rows([gathered], known)
        self.errors += bool(code)
        self.unreached += not row.target_summary.packet_count
        notes = [sentence(each) for each in (outcome.cause, *outcome.notices) if each is not None]
        if settings.json:
            line = msgspec.json.encode(rows.TargetRow(target=target, colos=[row]))
            self._outputs.row(safe_json(line.decode()).encode() + b"\n")
            for note in notes:
                self._outputs.note(f"{target}: {note}")
        else:
            from colotrace_proto.table import trace_table

            table = trace_table(target, row, on=self._outputs.paper, notes=notes)
            self._outputs.text(table)
        await self._outputs.drain()

    async def _known(self, gathered: list[tally.Gathered], *, ask: bool) -> tally.Known:
        """Names of the addresses that will be shown, as far as they are found in time."""
        packed = {text: parse_address(text) or b"" for text in tally.addresses(gathered)}
        found = await self._names.of(set(packed.values()), ask=ask)
        names = {text: found[address] for text, address in packed.items() if address in found}
        return tally.Known(names, {})
