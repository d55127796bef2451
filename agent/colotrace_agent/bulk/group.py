"""The traces of one family: one store of columns, and what acts on it."""

from colotrace_proto.messages import Family

from colotrace_agent.model import TraceSpec

from .columns import Columns
from .ending import Ending
from .hearing import Hearing
from .sending import Sending


class Group:
    """Up to `lines` traces that share a family and all options."""

    def __init__(self, spec: TraceSpec, family: Family, *, lines: int) -> None:
        self.columns = Columns(spec, family, lines=lines)
        self.sending = Sending(self.columns)
        self.hearing = Hearing(self.columns)
        self.ending = Ending(self.columns)
