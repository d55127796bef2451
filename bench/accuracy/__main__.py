"""`python -m bench.accuracy [--quick] [--write-docs] [CONDITION…]`: accuracy of reported RTTs.

Exit status: 0 measured, 2 a program is missing, 130 interrupted. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from lab import LabUnavailableError, access
from rich.console import Console

from bench import ROOT, machine
from bench.accuracy import conditions, report
from bench.accuracy.conditions import Condition
from bench.accuracy.contenders import HOPS, Contender, Tool
from bench.accuracy.engine import Inside, inside_prober
from bench.accuracy.errors import Errors
from bench.accuracy.report import Found, Result
from bench.accuracy.stamps import inside_stamps
from bench.figures import BenchError
from bench.peers import Peer, require
from bench.responder import Network, Responder

# Below 1 ms ping prints whole microseconds, from 1 ms on only every tenth.
_DELAY_NS = 900_000
_RECORDS = 1 << 17
_STOPPING = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Measure and report."""
    asked = _arguments()
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    errors = Console(stderr=True)
    chosen = [each for each in conditions.ALL if each.name in asked.names or not asked.names]
    try:
        require(_peers(chosen))
        access.enter_if_needed()
        access.require()
        for number in _STOPPING:
            signal.signal(number, _interrupt)
        facts = machine.facts(_peers(chosen)) | {"left out": []}
        began = time.monotonic()
        found = _measure(chosen, errors, goal=200 if asked.quick else 1_000)
        errors.print(f"[dim]· {time.monotonic() - began:.0f} s[/]", highlight=False)
    except (BenchError, LabUnavailableError) as error:
        errors.print(f"bench.accuracy: {error}", highlight=False)
        return 2
    except KeyboardInterrupt:
        errors.print("bench.accuracy: interrupted; nothing is written")
        return 130
    report.write(found, facts)
    report.show(found, facts, Console() if sys.stdout.isatty() else Console(width=160))
    errors.print("written: bench/results/accuracy.json, accuracy.md", highlight=False)
    if asked.write_docs:
        errors.print(f"written: {report.write_docs(found, facts).relative_to(ROOT)}")
    return 0


def _measure(chosen: list[Condition], console: Console, *, goal: int) -> list[Found]:
    cores = sorted(os.sched_getaffinity(0))
    own = cores[-1] if len(cores) > 1 else None
    network = Network(distance=HOPS - 1, delay_ns=_DELAY_NS)
    found = []
    # A new prober process for each condition, so that it knows nothing from an earlier one.
    for condition in chosen:
        with Responder(network, records=_RECORDS, core=own, urgent=True) as responder:
            if own is not None:
                # The tools, the busy loops and this process share what the responder leaves.
                os.sched_setaffinity(0, set(cores) - {own})
            try:
                found.append(_one(condition, responder, console, goal=goal, cores=len(cores)))
            finally:
                os.sched_setaffinity(0, cores)
    return found


def _one(
    condition: Condition, responder: Responder, console: Console, *, goal: int, cores: int
) -> Found:
    prober: Inside = inside_prober()
    contenders = condition.contenders(prober, inside_stamps())
    found = Found(condition, results=[Result(each) for each in contenders])
    console.print(f"[dim]· {condition.title}[/]", highlight=False)
    for each in contenders:  # a warm-up, which does not count
        _collect(each, responder, Errors())
    with conditions.load(busy=condition.busy, cores=cores) as found.loops:
        # The tools take turns, and none always follows the same one.
        for number in range(2 * goal // 100):
            shift = number % len(contenders)
            for result in found.results[shift:] + found.results[:shift]:
                if len(result.errors) < goal:
                    _collect(result.contender, responder, result.errors)
    return found


def _collect(contender: Contender, responder: Responder, errors: Errors) -> None:
    contender.collect(responder, errors)
    if responder.count > _RECORDS:
        raise BenchError("more probes than the responder can record")


def _peers(chosen: list[Condition]) -> list[Peer]:
    contenders = [
        tool
        for each in chosen
        for tool in each.contenders(inside_prober(), inside_stamps())
        if isinstance(tool, Tool)
    ]
    peers = {tool.package: Peer(tool.label, tool.package, tool.argv) for tool in contenders}
    return list(peers.values())


def _arguments() -> argparse.Namespace:
    names = [each.name for each in conditions.ALL]
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CONDITION", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="200 samples each instead of 1,000")
    parser.add_argument("--write-docs", action="store_true", help="write the tables into the docs")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(names))
    if unknown:
        parser.error(f"unknown conditions: {', '.join(unknown)}; known: {', '.join(names)}")
    return asked


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
