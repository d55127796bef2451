"""Finds the line that an answer belongs to, by the rules of `engine.lookup`."""

import numpy as np

from colotrace_agent.engine.limits.budget import Bucket, Budget
from colotrace_agent.engine.lookup import SEARCH_BURST, SEARCH_RATE
from colotrace_agent.engine.matching import Miss, match
from colotrace_agent.model import AnswerKind, Flow, Heard
from colotrace_agent.packets.formats import FORMATS, keys_of

from .arrays import Lines
from .columns import Columns
from .finding import same_rows

_COST = 8
"""Cost of checking a line, in traces of `SEARCH_RATE`: its flow is built first."""
_LINES_PER_LOOK = 256
"""Lines that numpy scans in the time of checking one trace."""


class Lookup:
    """Finds lines by the fields that answers show."""

    def __init__(self) -> None:
        self._budget = Budget(Bucket(SEARCH_RATE, SEARCH_BURST))
        self._tag_budget = Budget(Bucket(SEARCH_RATE, SEARCH_BURST))

    def find(self, columns: Columns, heard: Heard, now: int) -> tuple[int, Flow] | None:
        """The line and flow of the trace that an answer belongs to; None if there is none or it is
        ambiguous."""
        key = heard.key
        number = columns.found.line_of(key)
        if number is not None and key in keys_of((flow := columns.flow(number)).key):
            return number, flow
        if not self._budget.available(now):
            return None
        self._budget.spend(_COST + columns.lines // _LINES_PER_LOOK)
        near = columns.found.near(key)
        if heard.source is None:
            return self._verified(columns, heard, near) or _only(columns, heard, near)
        found = None
        if key.port == columns.port:
            found = self._verified(columns, heard, columns.found.far(key))
        if found is None:
            source = np.frombuffer(heard.source, np.uint8)[None, :]
            near = near[same_rows(columns.sources[near], source)]
            found = self._verified(columns, heard, near)
        if found is None and heard.tag is not None and self._tag_budget.available(now):
            self._tag_budget.spend(len(columns.found))
            number = columns.with_tag(heard.tag)
            if number is not None and key.packet_type in columns.found.packet_types:
                found = self._verified(columns, heard, np.array([number]))
        return found

    def _verified(self, columns: Columns, heard: Heard, lines: Lines) -> tuple[int, Flow] | None:
        for number in _likely(columns, heard, lines).tolist():
            self._budget.spend(_COST)
            flow = columns.flow(number)
            if verifies(columns, heard, number, flow):
                return number, flow
        return None


def verifies(columns: Columns, heard: Heard, number: int, flow: Flow) -> bool:
    """Whether an answer matches a probe that the line's trace has handed out for sending."""
    return not isinstance(match(flow, heard, sent=int(columns.taken[number])), Miss)


def _likely(columns: Columns, heard: Heard, lines: Lines) -> Lines:
    """The lines that have the answer's tag, or a range with its number."""
    if heard.tag is not None and not heard.cut:
        (tag,) = np.frombuffer(heard.tag, np.uint64).tolist()
        likely = (columns.tags[lines] == tag).any(axis=1)
    elif FORMATS[columns.spec.packet_type].number_suffices and heard.number is not None:
        modulus, _, step = FORMATS[columns.spec.packet_type].numbering
        ahead = (heard.number - columns.first_number[lines]) % modulus
        likely = ahead < columns.taken[lines] * step
    else:
        return lines
    those: Lines = lines[likely]
    return those


def _only(columns: Columns, heard: Heard, near: Lines) -> tuple[int, Flow] | None:
    """The only trace that a datagram from another address can belong to."""
    if heard.kind is not AnswerKind.DATAGRAM or len(near) != 1 or heard.key.port != columns.port:
        return None
    return int(near[0]), columns.flow(int(near[0]))
