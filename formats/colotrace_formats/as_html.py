"""One HTML page as evidence: it needs no coordinator, no script and nothing from elsewhere.

For each target: what its bad rows share, colos x hops, and the path of each colo with every reply.
The rows are in it as the API's JSON too, for programs: the element `script` with the type
`application/json`, which no browser runs.
"""

from collections.abc import Iterator, Sequence
from html import escape

from colotrace_analysis import fate, matrix
from colotrace_proto import rows
from colotrace_proto.measured import Measured, Summary
from colotrace_proto.text import safe
from msgspec import UNSET

from .html_style import STYLE
from .shown import Row, json_text, numbers_of, pieces, steps, time_text

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_HEAT_MS = (1.0, 5.0, 20.0, 50.0)
"""From which added RTT on a cell has the first, second … shade."""
_SHADES = ", ".join(f"{each:g}" for each in _HEAT_MS)
_STRIP = 200
"""Units of the width of a strip plot: 0 to the highest RTT of the row."""
_MOST_FINDINGS = 10


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """The page. Pieces may be empty: to find what rows share takes several steps."""
    del follows  # each is a page of its own
    return pieces(_page(measured))


def _page(measured: Measured) -> Iterator[str]:
    summary = measured.summary
    title = f"Traceroute to {', '.join(summary.targets[:3])}"
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
    yield _head(summary)
    work = fate.work(measured)
    for _ in work:
        yield ""
    for index, target in enumerate(summary.targets):
        findings = [each for each in work.result.findings if each.target == target]
        yield from _target(measured, index, findings)
    yield "</body>\n</html>\n"


def _head(summary: Summary) -> str:
    options = summary.options
    told = [
        ("Begun", time_text(summary.began_ms)),
        ("Ended", time_text(summary.ended_ms) if summary.ended_ms is not None else "not yet"),
        ("Status", summary.status),
        ("Colos", f"{len(summary.colos)}: {', '.join(summary.colos)}"),
        (
            "Packets",
            f"{options.packet_type}, {options.packets_per_ttl} a hop, up to {options.max_ttl} hops",
        ),
        *([("Port", str(options.port))] if options.port else []),
        *([("Measurement", summary.id)] if summary.id else []),
    ]
    lines = "".join(
        f'<tr><th scope="row">{name}</th><td>{_text(value)}</td></tr>\n' for name, value in told
    )
    return (
        f"<h1>Traceroute from {len(summary.colos)} colos</h1>\n<table>\n{lines}</table>\n"
        "<p class=q>Written by colotrace. Times are in UTC; RTTs are in milliseconds.</p>\n"
    )


def _target(measured: Measured, index: int, findings: Sequence[fate.Finding]) -> Iterator[str]:
    target = measured.summary.targets[index]
    yield f"<h2>{_text(target)}</h2>\n"
    for finding in findings[:_MOST_FINDINGS]:
        yield f"<p><strong>{_text(finding.in_words)}</strong></p>\n"
    found: list[Row] = []
    for step in steps(measured, numbers_of(measured.summary, index)):
        found += step
        yield ""
    row = rows.TargetRow(target=target, colos=[each.shown for each in found])
    work = matrix.work(row)
    for _ in work:
        yield ""
    yield from _matrix(work.result)
    for each in found:
        yield _path(each)
    yield '<script type="application/json">{"target":' + _data(target) + ',"colos":[\n'
    for number, each in enumerate(found):
        yield (",\n" if number else "") + _data(each.shown)
    yield "]}</script>\n"


def _matrix(found: matrix.Matrix) -> Iterator[str]:
    columns = "".join(
        f'<th scope="col" class=n>{number or "target"}</th>' for number in found.columns
    )
    yield (
        "<p class=q>Hops are counted from the target. A cell has the mean RTT; its shade tells "
        f"what the hop adds, from {_SHADES} ms on. Hatched: this router limits its answers, and "
        "the path loses nothing.</p>\n"
        '<div class=wide>\n<table>\n<thead><tr><th scope="col">Colo</th><th scope="col">City</th>'
        '<th scope="col" class=n>RTT</th><th scope="col" class=n>Loss</th>'
        f'<th scope="col" class=n>Hops</th>{columns}</tr></thead>\n<tbody>\n'
    )
    for line in found.lines:
        rtt = line.error or ("" if line.rtt_ms is None else f"{line.rtt_ms:.2f}")
        end = _text(rtt) if line.reached or line.error else "not reached"
        loss = _loss(line.lost, line.sent) if line.reached else ""
        yield (
            f'<tr><th scope="row">{_text(line.colo)}</th><td>{_text(line.city)}</td>'
            f"<td class=n>{end}</td><td class=n>{loss}</td>"
            f"<td class=n>{line.hops or ''}</td>{''.join(map(_cell, line.cells))}</tr>\n"
        )
    yield "</tbody>\n</table>\n</div>\n"


def _cell(cell: matrix.Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    if not cell.ip:
        return '<td class="n q" title="no answer">·</td>'
    heat = sum((cell.added_ms or 0) >= bound for bound in _HEAT_MS)
    classes = "n" + (f" h{heat}" if heat else "") + (" limited" if cell.carries_on is False else "")
    told = [cell.ip, cell.name, cell.asn, f"{cell.lost} of {cell.sent} lost"]
    loss = " class=bad" if cell.carries_on else ""
    lost = f"<br><small{loss}>{_loss(cell.lost, cell.sent)} lost</small>" if cell.lost else ""
    title = _text(", ".join(filter(None, told)))
    rtt = "" if cell.rtt_ms is None else f"{cell.rtt_ms:.2f}"
    return f'<td class="{classes}" title="{title}">{rtt}{lost}</td>'


def _path(row: Row) -> str:
    shown = row.shown
    notes = [shown.error] if shown.error else []
    notes += [remark.text for remark in row.trace.remarks]
    body = "".join(f"<p>{_text(note)}</p>\n" for note in notes)
    if shown.hops:
        replies = row.trace.gathered.replies
        most = max(replies.rtt_ns, default=0)
        lines = "".join(_hop(hop, row, most) for hop in shown.hops)
        heads = ("TTL", "Address", "Name", "AS", "Sent", "Lost", "Min", "Mean", "Max")
        names = "".join(f'<th scope="col">{each}</th>' for each in heads)
        scale = f'<th scope="col">Replies, 0 to {most / 1e6:.2f} ms</th>'
        body += f"<div class=wide><table>\n<tr>{names}{scale}</tr>\n{lines}</table></div>\n"
    elif not notes:
        body += "<p>No hops.</p>\n"
    return f"<details><summary>{_text(shown.colo.name)}: the path</summary>\n{body}</details>\n"


def _hop(hop: rows.Hop, row: Row, most: int) -> str:
    """A line for each node; the hop's own numbers and its replies are in the first one."""
    lines = []
    for number, node in enumerate(hop.nodes):
        own = (str(hop.packets_ttl), str(hop.packets_sent), str(hop.packets_lost))
        ttl, sent, lost = own if number == 0 else ("", "", "")
        labels = " ".join(node.labels) if node.labels is not UNSET else ""
        name = "" if node.name == node.ip else node.name
        cells = (
            ttl,
            f"<code>{_text(node.ip)}</code>" if node.packet_count else "no answer",
            _text(f"{name} {labels}".strip()) if node.packet_count else "",
            _text(node.asn if node.asn != rows.UNKNOWN_ASN else ""),
            sent,
            lost,
            *("" if rtt is UNSET else f"{rtt:.3f}" for rtt in _rtts(node)),
            _strip(hop.packets_ttl, row, most) if number == 0 else "",
        )
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n")
    return "".join(lines)


def _rtts(node: rows.Node) -> tuple[object, ...]:
    return node.min_rtt_ms, node.mean_rtt_ms, node.max_rtt_ms


def _strip(ttl: int, row: Row, most: int) -> str:
    """Every reply of a hop as a line at its RTT; the numbers are in the title."""
    replies = row.trace.gathered.replies
    found = [rtt for at, rtt in zip(replies.ttl, replies.rtt_ns, strict=True) if at == ttl]
    if not found or not most:
        return ""
    path = "".join(f"M{rtt * _STRIP / most:.1f} 0v10" for rtt in found)
    told = ", ".join(f"{rtt / 1e6:.3f}" for rtt in found)
    return (
        f'<svg viewBox="0 0 {_STRIP} 10" preserveAspectRatio="none" role="img">'
        f'<title>{told}</title><path d="{path}"/></svg>'
    )


def _loss(lost: int, sent: int) -> str:
    return f"{100 * lost / sent:.0f} %" if sent else ""


def _text(text: str) -> str:
    """Untrusted text in HTML, or in an attribute in double quotation marks."""
    return escape(safe(text))


def _data(value: object) -> str:
    """JSON in a `script` element: nothing in it ends the element."""
    return json_text(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
