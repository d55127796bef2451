"""The last trouble of each agent, for people: what, and when."""

import time
from collections import OrderedDict
from collections.abc import Callable

from colotrace_proto.messages import AgentId, ColoName
from colotrace_proto.text import safe

from colotrace_coordinator.model import Trouble

MOST = 10_000
"""Agents whose trouble is kept; then that of the agent without a new one for longest is dropped."""
MOST_CHARACTERS = 300


class Troubles:
    """Troubles by colo and agent id, so that they outlive the agent's process and its attachment.

    They are shown to all accounts: the words say nothing of the job that an agent had.
    """

    def __init__(self, *, wall: Callable[[], float] = time.time, most: int = MOST) -> None:
        """`wall` gives seconds of Unix time."""
        self._wall = wall
        self._most = most
        self.on_noted: Callable[[ColoName, AgentId], None] = lambda _colo, _agent: None
        self._last: OrderedDict[tuple[ColoName, AgentId], Trouble] = OrderedDict()

    def note(self, colo: ColoName, agent: AgentId, words: str) -> None:
        """Replace the agent's last trouble by this one of now."""
        self._last[colo, agent] = Trouble(self._wall(), safe(words, most=MOST_CHARACTERS))
        self._last.move_to_end((colo, agent))
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        self.on_noted(colo, agent)

    def last(self, colo: ColoName, agent: AgentId) -> Trouble | None:
        """The agent's last trouble; None if there was none."""
        return self._last.get((colo, agent))
