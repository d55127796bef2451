"""What a job is asked to do, and what it came to."""

from dataclasses import dataclass

from colotrace_proto.messages import ColoName, Family, Link, Replies

from colotrace_coordinator.model import Options

from .faults import Fault


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be traced. `family` is known where the target is written as an address."""

    colo: ColoName
    target: str
    options: Options
    family: Family | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a job came to. `fault` is None where the target was traced.

    `moved` tells in words why it went from one agent to another while tracing, `notices` what the
    agent has to say, `links` what a multipath job found between its addresses; `unplaced` counts
    answers of the target that name no probe.
    """

    fault: Fault | None
    target_address: bytes
    sent: tuple[int, ...]
    replies: Replies
    duration_ns: int
    moved: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    unplaced: int = 0
    links: tuple[Link, ...] = ()
