"""Writes the rows of a bulk run as JSON lines, many at a time.

The rows are those of `tally.colo_rows`, for traces without labels, send errors or notices. They are
laid out together in an array of bytes, with a fixed width for each field. Unused bytes are zeros,
which JSON does not contain, and are removed at the end.
"""

import msgspec
import numpy as np
from colotrace_proto import rows
from colotrace_proto.messages import NodeKind

from .arrays import Bytes, Lines, Numbers
from .columns import Columns
from .engine import Ended
from .text_fields import (
    ADDRESS,
    LEAST_NS,
    LONG_NUMBER,
    MOST_NS,
    NUMBER,
    REAL,
    TIME,
    Field,
    Form,
    addresses,
    long_numbers,
    numbers,
    reals,
    texts,
    times,
)

_NS_PER_MS = 1_000_000
_SILENT = msgspec.json.encode(rows.SILENCE) + b"]}"
_ZERO, _NO_DEVIATION = np.frombuffer(b"0", np.uint8), np.frombuffer(b"0.0", np.uint8)
_MOST_MS = 1_000_000


class LineWriter:
    """Writes lines for a colo. `unreached` counts lines whose target did not answer."""

    def __init__(self, colo: rows.Colo) -> None:
        self._colo = msgspec.json.encode(colo).decode()
        self.unreached = 0
        self._forms: dict[Columns, _Forms] = {}

    def write(self, ended: Ended, targets: list[str]) -> tuple[bytes | bytearray, list[int]]:
        """The lines of these traces, with the targets' names, and the indices of traces that the
        caller must write otherwise: those with a label, a send error, a second address at a hop, or
        a notice."""
        sheet = _Sheet(ended.group.columns, ended.numbers)
        plain = sheet.plain
        if ended.limiting:
            plain &= ~np.isin(ended.numbers, list(ended.limiting))
        others: list[int] = []
        if not plain.all():
            others = np.nonzero(~plain)[0].tolist()
            kept = np.nonzero(plain)[0]
            if not len(kept):
                return b"", others
            targets = [targets[place] for place in kept.tolist()]
            sheet = _Sheet(ended.group.columns, ended.numbers[kept])
        self.unreached += int(np.count_nonzero(~sheet.reached))
        forms = self._forms.get(ended.group.columns)
        if forms is None:
            forms = self._forms[ended.group.columns] = _Forms(ended.group.columns, self._colo)
        return self._written(forms, sheet, targets), others

    def _written(self, forms: "_Forms", sheet: "_Sheet", targets: list[str]) -> bytearray:
        count, ttls = sheet.count.shape
        names = texts(msgspec.json.encode(targets)[2:-2].split(b'","'))
        begin = len(_BEFORE) + names.shape[1]
        cells_at = begin + len(forms.head)
        tail_at = cells_at + forms.cells.size
        paper = bytearray(count * (tail_at + len(forms.tail.text)))
        page = np.frombuffer(paper, np.uint8).reshape(count, -1)
        page[:, : len(_BEFORE)], page[:, len(_BEFORE) : begin] = _BEFORE, names
        page[:, begin:cells_at] = forms.head
        self._fill_cells(forms, sheet, page[:, cells_at:tail_at].reshape(count, ttls, -1))
        self._fill_tail(forms, sheet, page[:, tail_at:])
        return paper.translate(None, b"\0")

    def _fill_cells(self, forms: "_Forms", sheet: "_Sheet", cells: Bytes) -> None:
        cells[:] = forms.cells
        who, low = addresses(sheet.who), times(sheet.low)
        fields = {
            "sent": numbers(sheet.sent),
            "lost": numbers(sheet.sent - sheet.count),
            "count": numbers(sheet.count),
            "ip": who,
            "name": who,
            "min": low,
            "mean": low,
            "max": low if sheet.high is sheet.low else times(sheet.high),
            "std_dev": _NO_DEVIATION,
        }
        forms.cell.fill(cells, fields)
        several = np.nonzero(sheet.count > 1)
        if len(several[0]):
            those = cells[several]
            mean, deviation = (reals(of[several].tolist()) for of in (sheet.mean, sheet.deviation))
            forms.cell.fill(those, {"mean": mean, "std_dev": deviation})
            cells[several] = those
        inside = np.arange(cells.shape[1]) < sheet.end[:, None]
        silent = inside & (sheet.count == 0)
        if silent.any():
            cells[silent, forms.node_at :] = forms.silent
        cells[~inside] = 0

    def _fill_tail(self, forms: "_Forms", sheet: "_Sheet", tail: Bytes) -> None:
        tail[:] = forms.tail.text
        who = addresses(sheet.target)
        each = np.arange(len(tail)), sheet.end - 1
        low = times(sheet.low[each])
        fields = {
            "ip": who,
            "name": who,
            "count": numbers(sheet.count[each]),
            "min": low,
            "mean": low,
            "max": low if sheet.high is sheet.low else times(sheet.high[each]),
            "std_dev": _NO_DEVIATION,
            "duration": long_numbers(sheet.duration_ms),
        }
        forms.tail.fill(tail, fields)
        several = np.nonzero(sheet.count[each] > 1)[0]
        if len(several):
            at = several, sheet.end[several] - 1
            those = tail[several]
            mean, deviation = (reals(of[at].tolist()) for of in (sheet.mean, sheet.deviation))
            forms.tail.fill(those, {"mean": mean, "std_dev": deviation})
            tail[several] = those
        if not sheet.reached.all():
            unreached = tail[~sheet.reached]
            unreached[:, forms.count_at : forms.times_end] = 0
            unreached[:, forms.count_at] = _ZERO
            tail[~sheet.reached] = unreached


_BEFORE = np.frombuffer(b'{"target":"', np.uint8)


class _Forms:
    """What is the same in all lines of a store."""

    def __init__(self, columns: Columns, colo: str) -> None:
        spec = columns.spec
        real, deviation = (REAL, REAL) if spec.packets_per_ttl > 1 else (TIME, NUMBER)
        address, number = ADDRESS[columns.family], NUMBER
        who: list[str | Field] = [
            f'"asn":"{rows.UNKNOWN_ASN}","ip":"', Field("ip", address),
            '","name":"', Field("name", address), '","packet_count":', Field("count", number),
        ]  # fmt: skip

        def statistics(name: str) -> list[str | Field]:
            return [
                f',"min_{name}_ms":', Field("min", TIME), f',"mean_{name}_ms":',
                Field("mean", real), f',"max_{name}_ms":', Field("max", TIME),
                f',"std_dev_{name}_ms":', Field("std_dev", deviation),
            ]  # fmt: skip

        self.head = np.frombuffer(
            f'","colos":[{{"colo":{colo},"error":"","hops":['.encode(), np.uint8
        )
        self.cell = Form(
            [
                ',{"packets_ttl":', Field("ttl", number), ',"packets_sent":', Field("sent", number),
                ',"packets_lost":', Field("lost", number), ',"nodes":[', Field("node", 0), "{",
                *who, *statistics("rtt"), "}]}",
            ]
        )  # fmt: skip
        self.tail = Form(
            [
                '],"target_summary":{', *who, *statistics("latency"), *statistics("rtt"),
                Field("end", 0), '},"traceroute_time_ms":', Field("duration", LONG_NUMBER),
                "}]}\n",
            ]
        )  # fmt: skip
        self.cells = np.repeat(self.cell.text[None, :], spec.max_ttl, axis=0)
        self.cell.fill(self.cells, {"ttl": numbers(np.arange(1, spec.max_ttl + 1))})
        self.cells[0, 0] = 0  # the first has no comma before it
        self.node_at = self.cell.start_of("node")
        self.silent = np.zeros(len(self.cell.text) - self.node_at, np.uint8)
        self.silent[: len(_SILENT)] = np.frombuffer(_SILENT, np.uint8)
        self.count_at, self.times_end = self.tail.start_of("count"), self.tail.start_of("end")


class _Sheet:
    """The numbers of some lines of one store, by row and TTL; times in nanoseconds, of mean and
    deviation, which only rows of several packets a TTL have, in milliseconds."""

    def __init__(self, columns: Columns, lines: Lines) -> None:
        spec = columns.spec
        shape = len(lines), spec.max_ttl
        size = shape[0] * shape[1]
        self.end: Numbers = columns.ends_at(lines).astype(np.int64)
        ttl_of = columns.ttl_of[lines]
        all_answered = columns.answered[lines]
        answered = all_answered & (ttl_of <= self.end[:, None])
        row, ordinal = np.nonzero(answered)
        places = columns.places(lines[row], ordinal)
        column = ttl_of[row, ordinal].astype(np.int64) - 1
        group = row * shape[1] + column
        rtt, kind = columns.flat_rtt[places], columns.flat_kind[places]
        who = columns.flat_who[places]
        address = np.zeros((size, columns.width), np.uint8)
        address[group] = who
        self.who: Bytes = address.reshape(*shape, -1)
        if spec.packets_per_ttl == 1:
            count = np.zeros(size, np.int64)
            low = np.full(size, LEAST_NS)
            count[group], low[group] = 1, rtt
            self.low = self.high = low.reshape(shape)
            odd = np.zeros(len(row), np.bool_)
        else:
            count = self._sum_up(group, rtt, shape)
            odd = (who != address[group]).any(axis=1)
        self.count = count.reshape(shape)
        # One address at each hop, the target's only at the end, and nothing besides.
        self.reached = columns.target_ttl[lines] <= spec.max_ttl
        end = self.reached[row] & (column + 1 == self.end[row])
        odd |= (kind == NodeKind.BARRIER) | ((kind == NodeKind.TARGET) != end)
        odd |= (rtt < LEAST_NS) | (rtt >= MOST_NS)
        self.sent = columns.sent[lines]
        self.duration_ms: Numbers = np.rint(
            (columns.ended[lines] - columns.started[lines]) / _NS_PER_MS
        ).astype(np.int64)
        plain = (self.duration_ms >= 0) & (self.duration_ms < _MOST_MS)
        plain &= columns.overflows[lines] == 0
        plain &= ~(all_answered & ~columns.stamped[lines]).any(axis=1)
        none = self.sent == 0
        plain &= ~none.all(axis=1)
        plain &= ~(none & (np.arange(shape[1]) < self.end[:, None])).any(axis=1)
        plain[row[odd]] = False
        if columns.asides:
            plain &= np.array([line not in columns.asides for line in lines.tolist()])
        self.plain = plain
        self.target: Bytes = columns.targets[lines]

    def _sum_up(self, group: Numbers, rtt: Numbers, shape: tuple[int, int]) -> Numbers:
        size = shape[0] * shape[1]
        count = np.bincount(group, minlength=size)
        low = np.full(size, MOST_NS)
        np.minimum.at(low, group, rtt)
        high = np.full(size, LEAST_NS)
        np.maximum.at(high, group, rtt)
        low[count == 0] = LEAST_NS
        rtt_ms, some = rtt / _NS_PER_MS, np.maximum(count, 1)
        mean = np.bincount(group, rtt_ms, minlength=size) / some
        mean = np.clip(mean, low / _NS_PER_MS, high / _NS_PER_MS)
        squares = np.bincount(group, (rtt_ms - mean[group]) ** 2, minlength=size)
        self.low, self.high = low.reshape(shape), high.reshape(shape)
        self.mean = mean.reshape(shape)
        self.deviation = np.sqrt(squares / np.maximum(count - 1, 1)).reshape(shape)
        return count
