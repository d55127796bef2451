"""The merged paths of all colos to one target as text, from the API's rows: a tree that is read
from the target back to the colos.

    example.com (203.0.113.9)  60 colos  20.1-182 ms
    |- edge1.example.net AS64500 <- hub1.example.net  31 colos  20.1-45.0 ms
    |  |    ams01 20.1, fra01 20.9, ...
    |  |- core2.example.net  12 colos  20.5-31.0 ms
    |  `- r7.example.net <- gw.example.org <- sin01  45.0 ms
    `- no answer <- r9.example.net  2 colos

Hops that all colos of a branch pass are on one line, `<-` in between. If the tree has too many
lines, small branches are folded: their colos are listed below the hop where they join the others,
with the RTT of the target. A hop with several addresses is one node, with `+1` for each further
one. A silent hop is `*`. Where other colos met only one address between the same two hops, it is
taken for that one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from colotrace_proto import rows
from colotrace_proto.layout import TextOutput, flow
from colotrace_proto.text import width

from .branches import Branch, LeafColo, grown
from .sentences import counted, short_ms, verb

MOST_LINES = 25
_LEAST_ITEMS = 2
"""Hops that a line shows at least, if it is too narrow for all."""
_WRAPPED = 80
"""Columns after which a list of colos goes on in the next line, also in a file."""
_SHORTEST = 16
"""Columns that the name of a hop has at least before hops are left out."""


@dataclass(frozen=True, slots=True)
class _Signs:
    fork: str
    last: str
    down: str
    back: str
    dash: str
    left_out: str


_UNICODE = _Signs("├─ ", "└─ ", "│  ", "←", "\N{EN DASH}", "…")
_ASCII = _Signs("|- ", "`- ", "|  ", "<-", "-", "...")


def tree(
    target: rows.TargetRow,
    *,
    on: TextOutput,
    ascii_only: bool = False,
    most_lines: int = MOST_LINES,
) -> list[str]:
    """The lines, without line breaks, at most `on.columns` wide.

    Branches of few colos are folded until there are at most `most_lines`, or nothing is left to
    fold. ASCII is used if asked for, or if the output cannot encode lines.
    """
    plain = ascii_only or on.encodable(_UNICODE.fork) != _UNICODE.fork
    signs = _ASCII if plain else _UNICODE
    drawing = _Drawing(on, signs)
    root = grown(target, on)
    # Counted at a usual width: in a narrow terminal, lists have more lines than branches.
    usual = replace(on, columns=max(on.columns or _WRAPPED, _WRAPPED))
    counting = _Drawing(usual, signs)
    least = 1
    while len(counting.lines(root, least)) > most_lines and least <= len(root.colos):
        least += 1
    return drawing.lines(root, least) + drawing.failed(target)


class _Drawing:
    def __init__(self, on: TextOutput, signs: _Signs) -> None:
        self._on = on
        self._signs = signs

    def lines(self, root: Branch, least: int) -> list[str]:
        """The tree, with branches of at least so many colos."""
        line = self._line("", [root.label], self._counts(root))
        return [line, *self._below(root, least, indent="")]

    def failed(self, target: rows.TargetRow) -> list[str]:
        """A line for each error of rows without hops."""
        errors: defaultdict[str, list[str]] = defaultdict(list)
        for row in target.colos:
            if not row.hops:
                errors[row.error].append(self._on.text(row.colo.name))
        return [
            line
            for error, colos in sorted(errors.items())
            for line in flow(
                [*", ".join(sorted(colos)).split(" "), self._on.text(error) or "no probe was sent"],
                self._on,
                indent=2,
            )
        ]

    def _below(self, branch: Branch, least: int, *, indent: str) -> list[str]:
        """The lines under that of a branch."""
        kept = sorted(
            (each for each in branch.before.values() if len(each.colos) >= least),
            key=lambda each: (-len(each.colos), each.label, each.colos[0].name),
        )
        folded = [*branch.ends]
        for each in branch.before.values():
            if len(each.colos) < least:
                folded += each.colos
        lines: list[str] = []
        if folded:
            down = self._signs.down if kept else "   "
            lines += self._listed(folded, indent=f"{indent}{down}")
        for each in kept:
            last = each is kept[-1]
            fork, down = (self._signs.last, "   ") if last else (self._signs.fork, self._signs.down)
            chain, end = self._chain(each)
            labels = [hop.label for hop in chain]
            if not end.before and len(end.ends) == 1:
                labels.append(end.ends[0].name)
                told = self._times(end.ends)
                lines.append(self._line(indent + fork, labels, told))
                continue
            if not end.before:
                labels.append(", ".join(map(self._entry, end.ends)))
                line = f"{indent}{fork}{f' {self._signs.back} '.join(labels)}"
                if width(line) <= (self._on.columns or _WRAPPED):
                    lines.append(line)
                    continue
                labels.pop()
            lines.append(self._line(indent + fork, labels, self._counts(end)))
            lines += self._below(end, least, indent=indent + down)
        return lines

    def _chain(self, branch: Branch) -> tuple[list[Branch], Branch]:
        """The branch and those before it that all its colos pass; and the last of them."""
        chain = [branch]
        while not branch.ends and len(branch.before) == 1:
            (branch,) = branch.before.values()
            chain.append(branch)
        return chain, chain[-1]

    def _listed(self, colos: Sequence[LeafColo], *, indent: str) -> list[str]:
        """Colos with their RTTs, wrapped."""
        entries = [self._entry(colo) for colo in sorted(colos, key=lambda colo: colo.name)]
        words = [f"{entry}," for entry in entries[:-1]] + entries[-1:]
        room = max((self._on.columns or _WRAPPED) - width(indent) - 2, 1)
        inner = TextOutput(room, self._on.encoding)
        return [self._cut(f"{indent}  {line}") for line in flow(words, inner)]

    def _entry(self, colo: LeafColo) -> str:
        lost = f" ({100 * colo.lost / colo.sent:.0f}% lost)" if self._has_loss(colo) else ""
        time = f" ({colo.told})" if colo.rtt_ms is None else f" {short_ms(colo.rtt_ms)}"
        return colo.name + time + lost

    @staticmethod
    def _has_loss(colo: LeafColo) -> bool:
        return bool(colo.rtt_ms is not None and colo.lost and colo.sent)

    def _counts(self, branch: Branch) -> list[str]:
        return [counted(len(branch.colos), "colo"), *self._times(branch.colos)]

    def _times(self, colos: Sequence[LeafColo]) -> list[str]:
        """The range of the colos' RTTs, and what they lost."""
        times = [colo.rtt_ms for colo in colos if colo.rtt_ms is not None]
        told = []
        if times:
            low, high = short_ms(min(times)), short_ms(max(times))
            told.append(f"{low if low == high else low + self._signs.dash + high} ms")
        losing = [colo for colo in colos if self._has_loss(colo)]
        if losing:
            share = sum(colo.lost for colo in losing) / sum(colo.sent for colo in losing)
            percent = f"{100 * share:.0f}%"
            some = f"{len(losing)} {verb(losing, 'lose')} {percent}"
            told.append(f"{percent} lost" if len(colos) == 1 else some)
        return told

    def _line(self, start: str, labels: Sequence[str], told: Sequence[str]) -> str:
        """A line of hops; its middle hops are left out if it is too wide, then names are cut."""
        columns = self._on.columns
        back = f" {self._signs.back} "
        line = self._joined([start + back.join(labels), *told])
        if columns is None or width(line) <= columns:
            return line
        room = columns - width(self._joined([start, *told]))
        while room < _SHORTEST and len(told) > 1:
            told = told[:-1]
            room = columns - width(self._joined([start, *told]))
        for shown in range(len(labels), _LEAST_ITEMS - 1, -1):
            some = list(labels)
            if shown < len(labels):
                first = (shown + 1) // 2
                left_out = f"({self._signs.left_out}{len(labels) - shown})"
                some = [*labels[:first], left_out, *labels[len(labels) - shown + first :]]
            each = (room - width(back) * (len(some) - 1)) // len(some)
            if each >= _SHORTEST or shown == _LEAST_ITEMS or width(back.join(some)) <= room:
                text = back.join(some)
                if width(text) > room:
                    text = back.join(self._on.fit(label, max(each, 4)) for label in some)
                return self._cut(self._joined([start + text, *told]))
        return self._cut(line)

    def _cut(self, line: str) -> str:
        columns = self._on.columns
        return line if columns is None else self._on.fit(line, columns)

    @staticmethod
    def _joined(parts: Sequence[str]) -> str:
        return "  ".join(part for part in parts if part)
