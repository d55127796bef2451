"""Traces, runs a command, traces again until the paths are stable, and compares."""

import asyncio
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import changes, printing, runs
from .api.shapes import Answer, Difference
from .asking import Request, with_last
from .command import run
from .errors import EXIT_DIFFERS, CliError
from .runs import Traced
from .settings import Settings
from .suggestions import suggesting
from .views import ticket

MOST_S = 60.0
"""After this time the last trace is compared, stable or not."""
EACH_S = 2.0
"""Between the beginnings of two traces."""
FLOWS_S = 22.0
"""From the end of a trace whose paths could not be compared to the next one: hosts use a flow of
GRE again only 20 s after its trace has ended."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds, and waiting; a parameter of tests."""

    now: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class _After:
    traced: list[Traced]
    differences: list[Difference]
    count: int
    stable: bool
    within_s: float


def guarded(
    settings: Settings, request: Request, words: Sequence[str], *, clock: Clock | None = None
) -> int:
    """Guard a command; print Markdown for a change ticket, and return the exit code.

    That is the command's, or 4 if it succeeded and something differs. If tracing fails before the
    command, this does not run.

    Raises:
        CliError: tracing failed before the command, or after it, and the command succeeded.
    """
    request = with_last(request, settings)
    with suggesting(settings, request.colos):
        before = asyncio.run(runs.traced(settings, request))
    known = " ".join(changes.ids(before))  # or fail, before anything is changed
    printing.note(f"traced before: {known}; running {shlex.join(words)}")
    ran = run(words)
    if ran.why:
        printing.note(f"{words[0]} was not started: {ran.why}")
    try:
        after = _after(settings, request, before, clock or Clock())
    except CliError as error:
        if not ran.code:
            raise
        printing.note(str(error))
        return ran.code
    found = ticket.Guarded(
        command=shlex.join(words),
        code=ran.code,
        took_s=ran.took_s,
        why=ran.why,
        targets=request.targets,
        colos=request.colos,
        before=_parts(before),
        after=_parts(after.traced),
        differences=after.differences,
        traces=after.count,
        within_s=after.within_s,
        stable=after.stable,
    )
    printing.lines(ticket.markdown(found))
    printing.flush()  # before an exit code that means an interruption
    return ran.code or (0 if _same(after.differences) else EXIT_DIFFERS)


def _after(settings: Settings, request: Request, before: Sequence[Traced], clock: Clock) -> _After:
    began = at = clock.now()
    last = asyncio.run(runs.traced(settings, request))
    count, stable, pause_s = 1, False, EACH_S
    while not stable and clock.now() + pause_s - began < MOST_S:
        clock.wait(max(at + pause_s - clock.now(), 0))
        at = clock.now()
        again = asyncio.run(runs.traced(settings, request))
        count += 1
        found = asyncio.run(changes.differences(settings, last, again))
        other_flows = any(each.other_flows for each in found)
        if other_flows:
            at, pause_s = clock.now(), FLOWS_S
        else:
            pause_s = EACH_S
        stable = _same(found) and not other_flows
        last = again
    differences = asyncio.run(changes.differences(settings, before, last))
    return _After(last, differences, count, stable, clock.now() - began)


def _same(found: Sequence[Difference]) -> bool:
    return all(each.empty for each in found)


def _parts(traced: Sequence[Traced]) -> list[tuple[str, Answer]]:
    return [(each.id or "not kept", each.answer) for each in traced]
