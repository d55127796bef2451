"""`python -m bench [--list] [--quick] [NAME…]`: what colotrace costs, beside other tracers.

Exit status: 0 measured, 1 something could not be, 2 wrong usage or a program that is missing,
130 interrupted. Progress goes to standard error, the table to standard output.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from fleet import FleetError
from lab import LabError, LabUnavailableError, access
from rich.console import Console
from scenario.tun import TunWorldError

from bench import ROOT, machine, peers, report
from bench.figures import BenchError, Figure
from bench.rows import ALL, Subject
from bench.session import Session

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Measure what the command line names."""
    asked = _arguments()
    # Debian keeps ip, nft and traceroute where only root's PATH leads.
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if asked.list:
        for subject in ALL:
            print(f"{subject.name:<16}{subject.title}")
        return 0
    errors = Console(stderr=True)
    subjects = [subject for subject in ALL if subject.name in (asked.names or _names())]
    compared = list(dict.fromkeys(peer for subject in subjects for peer in subject.peers))
    try:
        peers.require(compared)
        # What the lab needs where this is not root: a namespace in which it is.
        access.enter_if_needed()
        access.require()
    except (BenchError, LabUnavailableError) as error:
        errors.print(f"bench: {error}", highlight=False)
        return 2
    for number in _STOPPING:
        signal.signal(number, _interrupt)
    return _run(subjects, compared, errors, quick=asked.quick)


def _run(
    subjects: list[Subject], compared: list[peers.Peer], errors: Console, *, quick: bool
) -> int:
    facts = machine.facts(compared)
    found: report.Found = {}
    failed = 0
    try:
        with Session(errors, quick=quick) as session:
            for subject in subjects:
                figures: list[Figure] = []
                found[subject.name] = (subject, figures)
                try:
                    for figure in subject.measure(session):
                        figures.append(figure)  # noqa: PERF402 - kept when a later one fails
                except (BenchError, FleetError, LabError, TunWorldError) as error:
                    # What there is of it is kept, and the other subjects may well be measured.
                    failed += 1
                    session.leave_out(subject.name, error)
    except KeyboardInterrupt:
        errors.print("bench: interrupted; everything is taken down, nothing is written")
        return 130
    facts["left out"] = session.left_out
    found = {name: each for name, each in found.items() if each[1]}
    console = Console() if sys.stdout.isatty() else Console(width=140)
    report.show(found, facts, console)
    where = report.write(found, facts).relative_to(ROOT)
    errors.print(f"written: {where}/results.json, {where}/results.md", highlight=False)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="measure only these (see --list)")
    parser.add_argument("--list", action="store_true", help="say what can be measured")
    parser.add_argument("--quick", action="store_true", help="fewer runs: under a minute")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - _names())
    if unknown:
        parser.error(f"nothing is called {', '.join(unknown)}; --list names what can be measured")
    return asked


def _names() -> set[str]:
    return {subject.name for subject in ALL}


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    # Once: a second one would leave behind what the first is taking down.
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
