"""Fills the feed of a measurement that runs here."""

from colotrace_coordinator.answer import Answers
from colotrace_coordinator.live.feed import Feed
from colotrace_coordinator.turns import Turns

from .running import Running


class Pump:
    """(to come)"""

    def __init__(self, run: Running, answers: Answers, *, turns: Turns) -> None:
        self.feed = Feed()

    def row_ended(self, number: int) -> None:
        """A row has ended."""

    def end(self) -> None:
        """The measurement has ended."""
