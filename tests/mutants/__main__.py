"""`make fuzz`: millions of mutated replies, and whether scapy agrees on what counted of them."""

import argparse
import os
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from mutants.campaign import Tally, campaign
from mutants.subject import KINDS, Kind

COUNT = 2_000_000
_AT_ONCE = 10_000
_SHOWN = 20


def main() -> int:
    """Runs the campaign; 1 where the agent and scapy disagree, or something was raised."""
    options = _options()
    parts = max(options.count // len(KINDS) // _AT_ONCE, 1)
    each = -(-options.count // len(KINDS) // parts)
    print(f"seed {options.seed}: {len(KINDS)} kinds of reply, {parts * each} mutants of each")
    tallies = {kind: Tally() for kind in KINDS}
    began, done = time.monotonic(), 0
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = {
            pool.submit(
                campaign, kind, mutants=each, seed=f"{options.seed}.{part}", judged=options.judged
            ): kind
            for part in range(parts)
            for kind in KINDS
        }
        for job in as_completed(jobs):
            tallies[jobs[job]].add(job.result())
            done += 1
            if sys.stdout.isatty():
                at_s = time.monotonic() - began
                print(f"\r{done * each} mutants, {done * 100 // len(jobs)} %, {at_s:.0f} s", end="")
    if sys.stdout.isatty():
        print()
    return _told(tallies, took_s=time.monotonic() - began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="mutants over all kinds")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="of an earlier run")
    parser.add_argument(
        "--judged", type=float, default=0.25, help="share that is judged of what did not count"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    return parser.parse_args()


def _told(tallies: dict[Kind, Tally], *, took_s: float) -> int:
    """Prints the table and what was disagreed on; the exit status."""
    figures = ("mutants", "arrived", "counted", "judged", "disagreed", "slowest")
    print(f"{'type':5}{'family':>7}{'quote':>8}" + "".join(f"{word:>10}" for word in figures))
    total = Tally()
    for kind, tally in tallies.items():
        total.add(tally)
        print(f"{kind.packet_type:5}{f'IPv{kind.family}':>7}{kind.quote:>8}{_figures(tally)}")
    print(f"{'all':20}{_figures(total)}, in {took_s:.0f} s")
    for disagreement in total.disagreements[:_SHOWN]:
        print(disagreement)
    return int(bool(total.disagreements))


def _figures(tally: Tally) -> str:
    counts = (tally.made, tally.arrived, tally.counted, tally.judged, len(tally.disagreements))
    return "".join(f"{count:10}" for count in counts) + f"{tally.slowest_s * 1e3:7.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
