"""Rows of a bulk run as lines of JSON, many at a time.

The same rows as `tally.colo_rows` makes, for traces of which there is nothing out of the ordinary
to say; statistics of all of them are computed together, and written without an object for each.
"""

import socket
from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from colotrace_proto import rows
from colotrace_proto.messages import NodeKind

from colotrace_agent.bulk.line import Line
from colotrace_agent.bulk.table import Table

_NS_PER_MS = 1e6
_MOST_KNOWN = 65_536
_SILENT = ',"nodes":[' + msgspec.json.encode(rows.SILENCE).decode() + "]}"


class LineWriter:
    """Writes lines for a colo."""

    def __init__(self, colo: rows.Colo) -> None:
        self._colo = msgspec.json.encode(colo).decode()
        self._known: dict[bytes, str] = {}

    def write(self, ended: Sequence[tuple[str, Line]]) -> tuple[bytes, list[int]]:
        """The lines of these targets' traces, and which of them, by place, are to be written
        otherwise: where there is a label, a send error, a second address at a hop, or a remark."""
        tables: dict[Table, list[int]] = defaultdict(list)
        for place, (_, line) in enumerate(ended):
            tables[line.table].append(place)
        written: list[str] = []
        others: list[int] = []
        for table, places in tables.items():
            numbers = np.array([ended[place][1].number for place in places], np.intp)
            sheet = _Sheet(table, numbers)
            plain = sheet.plain.tolist()
            for row, place in enumerate(places):
                target, line = ended[place]
                if plain[row] and not line.limiting:
                    written.append(self._line(target, sheet, row))
                else:
                    others.append(place)
        return "".join(written).encode(), others

    def _line(self, target: str, sheet: "_Sheet", row: int) -> str:
        hops = []
        count, low, mean = sheet.count[row], sheet.low[row], sheet.mean[row]
        high, deviation, who = sheet.high[row], sheet.deviation[row], sheet.who[row]
        for at, (sent, answers) in enumerate(zip(sheet.sent[row], count, strict=True)):
            if at == sheet.end[row]:
                break
            start = (
                f'{{"packets_ttl":{at + 1},"packets_sent":{sent},"packets_lost":{sent - answers}'
            )
            if answers == 1:
                time = repr(low[at])
                hops.append(
                    f'{start},"nodes":[{{{self._who(who[at])},"packet_count":1,"min_rtt_ms":{time},'
                    f'"mean_rtt_ms":{time},"max_rtt_ms":{time},"std_dev_rtt_ms":0.0}}]}}'
                )
            elif answers:
                hops.append(
                    f'{start},"nodes":[{{{self._who(who[at])},"packet_count":{answers},'
                    f'"min_rtt_ms":{low[at]!r},"mean_rtt_ms":{mean[at]!r},'
                    f'"max_rtt_ms":{high[at]!r},"std_dev_rtt_ms":{deviation[at]!r}}}]}}'
                )
            else:
                hops.append(start + _SILENT)
        summary = f'{self._who(sheet.target[row])},"packet_count":'
        if sheet.reached[row]:
            at = sheet.end[row] - 1
            for name in ("latency", "rtt"):
                times = (
                    f',"min_{name}_ms":{low[at]!r},"mean_{name}_ms":{mean[at]!r},'
                    f'"max_{name}_ms":{high[at]!r},"std_dev_{name}_ms":{deviation[at]!r}'
                )
                summary += f"{count[at]}{times}" if name == "latency" else times
        else:
            summary += "0"
        asked = msgspec.json.encode(target).decode()
        return (
            f'{{"target":{asked},"colos":[{{"colo":{self._colo},"error":"","hops":['
            f'{",".join(hops)}],"target_summary":{{{summary}}},'
            f'"traceroute_time_ms":{sheet.duration_ms[row]}}}]}}\n'
        )

    def _who(self, address: bytes) -> str:
        text = self._known.get(address)
        if text is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
            ip = socket.inet_ntop(family, address)
            text = f'"asn":"{rows.UNKNOWN_ASN}","ip":"{ip}","name":"{ip}"'
            self._known[address] = text
        return text


class _Sheet:
    """The numbers of some lines of one table, by row and TTL; times in milliseconds."""

    def __init__(self, table: Table, numbers: npt.NDArray[np.intp]) -> None:
        ends = table.ends_at(numbers).astype(np.int64)
        ttls = np.arange(1, table.spec.max_ttl + 1)
        answered = table.answered[numbers] & (table.ttl_of[numbers] <= ends[:, None])
        row, ordinal = np.nonzero(answered)
        column = table.ttl_of[numbers[row], ordinal].astype(np.int64) - 1
        rtt = table.rtt[numbers[row], ordinal] / _NS_PER_MS
        kind, who = table.kind[numbers[row], ordinal], table.who[numbers[row], ordinal]
        shape = len(numbers), table.spec.max_ttl
        group = row * shape[1] + column
        size = shape[0] * shape[1]
        count = np.bincount(group, minlength=size)
        low = np.full(size, np.inf)
        np.minimum.at(low, group, rtt)
        high = np.zeros(size)
        np.maximum.at(high, group, rtt)
        some = np.maximum(count, 1)
        mean = np.clip(np.bincount(group, rtt, minlength=size) / some, low, high)
        squares = np.bincount(group, (rtt - mean[group]) ** 2, minlength=size)
        deviation = np.sqrt(squares / np.maximum(count - 1, 1))
        address = np.zeros((size, table.width), np.uint8)
        address[group] = who
        # One address at each hop, the target's only at the end, and nothing besides.
        target = kind == NodeKind.TARGET
        reached = table.target_ttl[numbers] <= table.spec.max_ttl
        odd = (who != address[group]).any(axis=1)
        odd |= (kind == NodeKind.BARRIER) | (target != (reached[row] & (column + 1 == ends[row])))
        self.plain = np.bincount(row[odd], minlength=len(numbers)) == 0
        self.plain &= table.overflows[numbers] == 0
        silent_stamp = table.answered[numbers] & ~table.stamped[numbers]
        self.plain &= ~silent_stamp.any(axis=1)
        sent = table.sent[numbers]
        self.plain &= (sent > 0).any(axis=1)
        self.plain &= ~((sent == 0) & (ttls <= ends[:, None])).any(axis=1)
        for place, number in enumerate(numbers.tolist()):
            if number in table.asides:
                self.plain[place] = False
        self.sent = sent.tolist()
        self.end = ends.tolist()
        self.reached = reached.tolist()
        self.count = count.reshape(shape).tolist()
        self.low = low.reshape(shape).tolist()
        self.mean = mean.reshape(shape).tolist()
        self.high = high.reshape(shape).tolist()
        self.deviation = deviation.reshape(shape).tolist()
        flat = address.tobytes()
        each = [flat[at : at + table.width] for at in range(0, len(flat), table.width)]
        self.who = [each[at : at + shape[1]] for at in range(0, size, shape[1])]
        targets = table.targets[numbers].tobytes()
        self.target = [targets[at : at + table.width] for at in range(0, len(targets), table.width)]
        duration = table.ended[numbers] - table.started[numbers]
        self.duration_ms = np.rint(duration / _NS_PER_MS).astype(np.int64).tolist()
