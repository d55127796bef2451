"""`python -m bench [--list] [--quick] [NAME…]`: benchmarks of colotrace and other tracers.

Exit status: 0 all measured, 1 a measurement failed, 2 wrong usage or a missing program, 130
interrupted. Progress goes to standard error, the table to standard output.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

from fleet import FleetError
from lab import LabError, LabUnavailableError, access
from rich.console import Console

from bench import ROOT, machine, peers, report
from bench.figures import BenchError
from bench.responder.build import require as require_compiler
from bench.rows import ALL, Subject
from bench.session import Session

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Measure the subjects of the command line."""
    asked = _arguments()
    # On Debian, ip, nft and traceroute are only on root's PATH.
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
        require_compiler()
        # Without root, the lab needs a user namespace.
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
    found: dict[str, report.Found] = {}
    failed = 0
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            session = Session(stack, errors, quick=quick)
            for subject in subjects:
                one = _measured(subject, session)
                failed += bool(one.missing)
                if one.figures:
                    found[subject.name] = one
                    if not quick:  # at once, so that a later failure cannot lose it
                        report.write({subject.name: one}, facts, [each.name for each in ALL])
    except KeyboardInterrupt:
        errors.print("bench: interrupted; everything is stopped")
        return 130
    report.show(found.values(), facts, Console() if sys.stdout.isatty() else Console(width=160))
    where = report.RESULTS.relative_to(ROOT)
    told = "quick: nothing is written" if quick else f"written: {where}/results.json, .md, .svg"
    errors.print(told, highlight=False)
    errors.print(f"[dim]· {time.monotonic() - began:.0f} s[/]", highlight=False)
    return 1 if failed else 0


def _measured(subject: Subject, session: Session) -> report.Found:
    """The figures of a subject; after a failure, those measured before it."""
    load = machine.load()
    found = report.Found(subject.title, subject.limits, list(subject.plotted), "")
    began = time.monotonic()
    try:
        for figure in subject.measure(session):
            found.figures.append(figure)
            if not figure.samples:
                session.warn(figure.label, figure.note)
    except (BenchError, FleetError, LabError) as error:
        found.missing = f"Incomplete: {' '.join(str(error).split())}"
        session.warn(subject.name, error)
    found.taken = (
        f"{machine.now()}, commit {machine.commit() or '?'}, in {time.monotonic() - began:.0f} s, "
        f"load {load} before and {machine.load()} after"
    )
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="subjects (see --list), also separated by commas"
    )
    parser.add_argument("--list", action="store_true", help="list the subjects")
    parser.add_argument(
        "--quick", action="store_true", help="one short run of each, to see that it works"
    )
    asked = parser.parse_args()
    asked.names = [name for words in asked.names for name in words.split(",") if name]
    unknown = sorted(set(asked.names) - _names())
    if unknown:
        parser.error(f"unknown subjects: {', '.join(unknown)}; see --list")
    return asked


def _names() -> set[str]:
    return {subject.name for subject in ALL}


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    # Once: a second signal would interrupt the clean-up.
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
