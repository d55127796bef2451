"""GitHub-flavoured Markdown for a ticket: a table of the colos of each target, then their paths.

Everything that comes from the network is in a code span: nothing in one is a link, a mention, an
emoji, HTML, or markup.
"""

from collections.abc import Iterator, Sequence

from colotrace_proto import rows
from colotrace_proto.measured import Measured, Summary
from msgspec import UNSET, UnsetType

from .code_spans import code
from .shown import Row, numbers_of, pieces, steps, time_text

_COLOS = ("Colo", "City", "Result", "Hops", "Sent", "Lost", "Mean ms", "Max ms")
_COLOS_RIGHT = (False, False, False, True, True, True, True, True)
_HOPS = ("TTL", "Address", "Name", "AS", "Sent", "Lost", "Min ms", "Mean ms", "Max ms", "Labels")
_HOPS_RIGHT = (True, False, False, False, True, True, True, True, True, False)
_STATES = {"running": "still running", "partial": "incomplete", "cancelled": "cancelled"}


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """A section for each target."""
    return pieces(_parts(measured, follows=follows))


def _parts(measured: Measured, *, follows: bool) -> Iterator[str]:
    summary = measured.summary
    for index, target in enumerate(summary.targets):
        numbers = numbers_of(summary, index)
        yield ("\n" if follows else "") + _heading(target, summary, measured, numbers)
        follows = True
        yield _head(_COLOS, _COLOS_RIGHT)
        for step in steps(measured, numbers):
            yield from (_line(_overview(row)) for row in step)
            yield ""  # the lines are short for what their rows cost
        for step in steps(measured, numbers):
            yield from map(_path, step)


def _heading(target: str, summary: Summary, measured: Measured, numbers: range) -> str:
    options = summary.options
    there = sum(number in measured.traces for number in numbers)
    colos = "1 colo" if len(numbers) == 1 else f"{len(numbers)} colos"
    words = [f"Traced from {colos} at {time_text(summary.began_ms)} with {options.packet_type}"]
    if options.port:
        words[0] += f", port {options.port}"
    if summary.status in _STATES:
        words.append(f"The measurement is {_STATES[summary.status]}")
    if there < len(numbers):
        words.append(f"{there} of {len(numbers)} rows are here")
    if summary.id:
        words.append(f"Measurement {code(summary.id)}")
    return f"## Traceroute to {code(target)}\n\n{'. '.join(words)}.\n\n"


def _overview(row: Row) -> Sequence[str]:
    shown = row.shown
    target = shown.target_summary
    last = shown.hops[-1] if shown.hops and target.packet_count else None
    return (
        code(shown.colo.name),
        code(shown.colo.city),
        _result(shown),
        str(len(shown.hops)) if shown.hops else "",
        str(last.packets_sent) if last else "",
        str(last.packets_lost) if last else "",
        _time(target.mean_rtt_ms),
        _time(target.max_rtt_ms),
    )


def _result(shown: rows.ColoRow) -> str:
    if shown.error:
        return shown.error
    if shown.target_summary.packet_count:
        return "reached"
    return "not reached" if shown.target_summary.ip else "no address"


def _path(row: Row) -> str:
    shown = row.shown
    ip = code(shown.target_summary.ip)
    text = f"\n### {code(shown.colo.name)} to {ip or code(row.target)}\n\n"
    if shown.hops:
        text += _head(_HOPS, _HOPS_RIGHT) + "".join(map(_line, _nodes(shown.hops)))
    notes = [shown.error] if shown.error else []
    notes += [code(remark.text) for remark in row.trace.remarks]
    if not shown.hops and not notes:
        notes = ["No hops."]
    if notes:
        text += ("\n" if shown.hops else "") + "".join(f"- {note}\n" for note in notes)
    return text


def _nodes(hops: Sequence[rows.Hop]) -> Iterator[Sequence[str]]:
    for hop in hops:
        # The numbers of the hop are in its first line only.
        own = (str(hop.packets_ttl), str(hop.packets_sent), str(hop.packets_lost))
        for node in hop.nodes:
            ttl, sent, lost = own
            own = ("", "", "")
            silent = not node.packet_count
            yield (
                ttl,
                "\\*" if silent else code(node.ip),
                "" if silent or node.name == node.ip else code(node.name),
                "" if node.asn == rows.UNKNOWN_ASN else code(node.asn),
                sent,
                lost,
                _time(node.min_rtt_ms),
                _time(node.mean_rtt_ms),
                _time(node.max_rtt_ms),
                " ".join(code(label) for label in node.labels or ()),
            )


def _time(rtt_ms: float | UnsetType) -> str:
    return "" if rtt_ms is UNSET else f"{rtt_ms:.3f}"


def _head(cells: Sequence[str], right: Sequence[bool]) -> str:
    return _line(cells) + _line(["---:" if each else "---" for each in right])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
