"""Text as traceroute(8) of Linux prints it, a block for each target and colo.

The heading has traceroute's words, and behind them the colo. The lines of hops are traceroute's,
with the AS as by its option -A where it is known, and labels as by its option -e. Which of the
probes of a hop was lost is not recorded, so the stars stand behind the answers. If several flows
were traced, each address has all its times behind it.
"""

import re
from collections.abc import Iterator, Sequence

from colotrace_proto.addresses import address_text
from colotrace_proto.measured import Measured
from colotrace_proto.rows import UNKNOWN_ASN
from colotrace_proto.tally import Known
from colotrace_proto.text import safe
from msgspec import UNSET

from .answers import Answer, by_ttl, probe_size
from .shown import Row, each, pieces, time_text

_MOST_OF_A_REMARK = 500
# ASCII without what host names are made of; and what separates the parts of a line.
_NOT_IN_NAMES = re.compile(r"[ !-,/:-@\[\]^`{-~]")
_STACK = "MPLS:"
_NOT_IN_LABELS = re.compile(r"[ :;()\[\]]")


def render(measured: Measured, *, follows: bool) -> Iterator[str]:
    """The blocks, with an empty line between."""
    return pieces(_lines(measured, follows=follows))


def _lines(measured: Measured, *, follows: bool) -> Iterator[str]:
    for row in each(measured):
        if follows:
            yield "\n"
        for line in _block(row):
            yield line + "\n"
        follows = True


def _block(row: Row) -> Iterator[str]:
    gathered, shown = row.trace.gathered, row.shown
    yield _heading(row)
    for ttl, (answers, hop) in enumerate(zip(by_ttl(row), shown.hops, strict=True), 1):
        if gathered.own_ends:
            answers.sort(key=lambda answer: answer.node.address)
        stars = " *" * hop.packets_lost
        # A hop that was not probed still has a line.
        yield f"{ttl:2} {_hop(answers, row.known)}{stars or ('' if answers else ' *')}"
    if gathered.unplaced and shown.target_summary.mean_rtt_ms is UNSET:
        yield f"{shown.target_summary.ip} answered, without telling at which hop"
    if shown.error:
        yield shown.error
    for remark in row.trace.remarks:
        yield f"note: {safe(remark.text, most=_MOST_OF_A_REMARK)}"


def _heading(row: Row) -> str:
    options, colo = row.summary.options, row.shown.colo
    address = row.trace.gathered.target_address
    ip = address_text(address) if address else ""
    name = safe(row.target).replace(" ", "\\x20") or "?"
    where = f"{name} ({ip})" if ip else name
    place = f"{safe(colo.name)} ({safe(colo.city)})" if colo.city else safe(colo.name)
    return (
        f"traceroute to {where}, {options.max_ttl} hops max, {probe_size(row)} byte packets, "
        f"{options.packet_type}, from {place}, {time_text(row.trace.began_ms)}"
    )


def _hop(answers: Sequence[Answer], known: Known) -> str:
    text = ""
    before = None
    for answer in answers:
        node = answer.node
        if before is None or (node.address, node.labels) != (before.address, before.labels):
            text += _who(node.address, node.labels, known)
        before = node
        text += f"  {answer.rtt_ms:.3f} ms"
        text += "".join(f" {_label(label)}" for label in node.labels if label.startswith("!"))
    return text


def _who(address: bytes, labels: Sequence[str], known: Known) -> str:
    ip = address_text(address)
    name = known.names.get(ip, ip)
    text = f" {ip if name == ip else _word(name)} ({ip})"
    asn = known.asns.get(ip, UNKNOWN_ASN)
    if asn != UNKNOWN_ASN:
        text += f" [{_word(asn)}]"
    beside = [_label(label) for label in labels if not label.startswith("!")]
    return f"{text} <{';'.join(beside)}>" if beside else text


def _word(text: str) -> str:
    """Untrusted text as one word, so that it cannot look like another part of the line. Readers
    take what has colons for an address, and what is in parentheses."""
    return _NOT_IN_NAMES.sub(_escaped, safe(text)) or "?"


def _label(text: str) -> str:
    """The same for a label, which has more characters; of those of traceroute, one has a colon."""
    text = safe(text)
    head = _STACK if text.startswith(_STACK) else ""
    return head + _NOT_IN_LABELS.sub(_escaped, text.removeprefix(head))


def _escaped(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"
