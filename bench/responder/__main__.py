"""`python -m bench.responder`: measures how many probes a second the responder answers."""

from __future__ import annotations

import argparse
import os
import sys
import time

from lab import access

from bench.figures import BenchError
from bench.responder import Network, Responder, build
from bench.responder.record import Tally

_SECONDS = 3.0


def main() -> int:
    """Send probes at full speed from one core, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.responder", description=__doc__)
    parser.add_argument("--seconds", type=float, default=_SECONDS)
    parser.add_argument("--delay-us", type=int, default=0, help="delay of each reply")
    asked = parser.parse_args()
    access.enter_if_needed()
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-1] if len(cores) > 1 else None
    try:
        network = Network(delay_ns=asked.delay_us * 1_000)
        with Responder(network, core=core, urgent=True) as responder:
            if core is not None:
                os.sched_setaffinity(0, set(cores) - {core})
            _show(responder, asked.seconds)
    except BenchError as error:
        print(f"bench.responder: {error}", file=sys.stderr)
        return 2
    return 0


def _show(responder: Responder, seconds: float) -> None:
    blast = build.program("blast", "blast.c")
    done = responder.run([blast, "256", str(responder.network.distance), str(seconds)])
    if done.returncode:
        raise BenchError(f"blast: {done.stderr.strip()}")
    sent, received, took_s = (float(word) for word in done.stdout.split())
    time.sleep(0.1)  # for delayed replies
    tally: Tally = responder.tally()
    cost_us = tally.busy_s / max(tally.probes, 1) * 1e6
    print(f"sent           {sent / took_s:>10,.0f} probes a second (one core, sendmmsg)")
    print(f"answered       {tally.written / took_s:>10,.0f} replies a second")
    print(f"received       {received / took_s:>10,.0f} replies a second, read on the sending core")
    print(f"CPU time       {cost_us:>10.2f} µs a probe: at most {1e6 / cost_us:,.0f} a second")
    print(f"lost           {responder.dropped():>10,} dropped at the device, "
          f"{tally.unwritten} not written, {tally.crowded_out} beyond the queue")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
