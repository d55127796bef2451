"""Serve one case behind a TUN device, in the network namespace that this process was started in.

Run for `tun.TunWorld` by `forked`. It prints one line when the device is up, serves until its input
ends (so it ends with the process that started it), and then prints what it saw as one line of
JSON.
"""

import contextlib
import gc
import json
import os
import select
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from scenario.clockwork import Agenda
from scenario.device import configure, open_device
from scenario.load import load
from scenario.schema import Family
from scenario.world import World

READY = "ready"
_LONGEST = 65536
# Until this much is left, sleep; from then on watch the clock: a wake-up may be that late.
_SPIN_NS = 100_000


def serve(worlds: Mapping[int, World], *, device: int, until_closed: int) -> int:
    """Answer what comes out of the device; return the most that a delivery was late, in ns.

    What the host says in a family without a world goes to the one there is.
    A burst is read whole, each packet stamped, before any of it is answered; and between any two
    answers whatever is due goes out. Otherwise the simulation's own work would be in the RTTs.
    """
    agenda = Agenda()
    unanswered: deque[tuple[int, bytes]] = deque()
    latest_ns = 0
    while True:
        _read(device, unanswered)
        if unanswered:
            at_ns, packet = unanswered.popleft()
            world = worlds.get(packet[0] >> 4) or next(iter(worlds.values()))
            agenda.add(world.deliver(packet, at_ns))
        for delivery in agenda.due(time.monotonic_ns()):
            os.write(device, delivery.packet)
            latest_ns = max(latest_ns, time.monotonic_ns() - delivery.at_ns)
        if unanswered:
            continue
        next_ns = agenda.next_ns()
        wait_s = None
        if next_ns is not None:
            wait_s = max(next_ns - time.monotonic_ns() - _SPIN_NS, 0) / 1e9
        readable, _, _ = select.select([device, until_closed], [], [], wait_s)
        # What was sent before the end of input is still read.
        if readable == [until_closed]:
            return latest_ns


def _read(device: int, into: deque[tuple[int, bytes]]) -> None:
    """Read what is there, each packet with its time."""
    while True:
        try:
            packet = os.read(device, _LONGEST)
        except BlockingIOError:
            return
        into.append((time.monotonic_ns(), packet))


def main(path: str, *families: str) -> None:
    """Make the device, serve, report."""
    case = load(Path(path))
    worlds = {int(each): World(case, family=cast("Family", int(each))) for each in families}
    device = open_device()
    configure(case)
    # A collection in the middle of a burst would show up as somebody's RTT.
    gc.freeze()
    gc.disable()
    # A network does not wait for a busy host's turn.
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    print(READY, flush=True)
    latest_ns = serve(worlds, device=device, until_closed=sys.stdin.fileno())
    seen = [
        {
            "family": family,
            "at_ns": probe.at_ns,
            "ttl": probe.ttl,
            "ordinal": probe.ordinal,
            "protocol": probe.protocol,
            "flow": probe.flow.hex(),
        }
        for family, world in worlds.items()
        for probe in world.seen
    ]
    fates = sum((world.fates for world in worlds.values()), Counter[str]())
    print(json.dumps({"fates": fates, "seen": seen, "latest_ns": latest_ns}), flush=True)
