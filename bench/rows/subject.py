"""The interface of a subject."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.figures import Figure
from bench.peers import Peer
from bench.session import Session


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to measure: `python -m bench NAME`."""

    name: str
    title: str
    limits: str
    """How the figures are measured, and what limits them."""
    measure: Callable[[Session], Iterator[Figure]]
    peers: tuple[Peer, ...] = ()
    plotted: tuple[str, ...] = ()
    """The quantities in the plot."""
