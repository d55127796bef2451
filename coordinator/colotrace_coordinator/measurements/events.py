"""The data of a measurement's events: one line of JSON each."""

import msgspec
from colotrace_proto import rows
from colotrace_proto.measured import Summary

from colotrace_coordinator.lines import line
from colotrace_coordinator.live.told import News
from colotrace_coordinator.model import Message

from .shapes import SummaryShape


class _Of(msgspec.Struct, frozen=True, kw_only=True):
    measurement: SummaryShape


class _Hops(msgspec.Struct, frozen=True):
    """What is new of a row: `target` and `colo` are indexes in the request. `fresh`: earlier hops
    of the row no longer hold, since another agent traces it anew."""

    target: int
    colo: int
    hops: list[rows.Hop]
    target_summary: rows.TargetSummary
    fresh: bool


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    target: int
    colo: int
    row: rows.ColoRow


_encode = msgspec.json.Encoder().encode


def start_event(summary: Summary) -> bytes:
    """The measurement begins: what was asked for."""
    return _encode(_Of(measurement=SummaryShape.of(summary)))


end_event = start_event
"""The measurement has ended: its status and times."""


def hops_event(summary: Summary, number: int, news: News) -> bytes:
    """Hops of a row that are new, or have changed."""
    target, colo = summary.place(number)
    return _encode(_Hops(target, colo, *news))


def row_event(summary: Summary, number: int, row: rows.ColoRow) -> bytes:
    """A row that has ended."""
    target, colo = summary.place(number)
    return _encode(_Row(target=target, colo=colo, row=row))


def message_event(message: Message) -> bytes:
    """A message of the answer."""
    return _encode(line(message))
