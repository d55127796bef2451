"""Traces on real sockets, undisturbed and under a flood of forged replies, and what is left of it.

Run inside a `scenario.tun.TunWorld` as `python -m forgery.flooded CASE PACKETS`; prints one line of
JSON, an object for each of the two.
"""

import asyncio
import dataclasses
import itertools
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

from colotrace_agent.engine.trace import Trace
from colotrace_agent.job.frames import Report
from colotrace_agent.model import TraceSpec
from colotrace_agent.packets.formats import writer_for
from colotrace_agent.prober import Prober, open_prober
from colotrace_proto.messages import Failure, JobId, PacketType
from eventually import until
from scenario import wire
from scenario.addresses import assign, packed
from scenario.gather import row_of
from scenario.kinds import Protocol
from scenario.load import load
from scenario.schema import Case, Family

from forgery.flood import READY
from forgery.tables import sizes

FAMILIES: tuple[Family, ...] = (4, 6)
# So few that even a small receive buffer holds them.
_BATCH = 400
# More than a receive buffer holds, of any size that a host allows.
_OVERFLOWING = 40_000
# No trace ends by itself: a hop is silent, and this is how long its answers are waited for.
_WAIT_NS = 3_600 * 10**9


class Traces:
    """One trace of each packet type in each family, all at once."""

    def __init__(self, case: Case) -> None:
        self.prober: Prober = open_prober()
        self._answers = sum(hop != "-" for hop in case.expect.hops) * case.trace.packets_per_ttl
        self.traces: list[Trace] = [
            self.prober.start(
                TraceSpec(
                    packed(assign(case, family=family).target),
                    PacketType(protocol),
                    max_ttl=case.trace.max_ttl,
                    wait_ns=_WAIT_NS,
                ),
                lambda _: None,
            )
            for family, protocol in itertools.product(FAMILIES, Protocol)
        ]

    async def answered(self) -> None:
        """Waits for all answers that there are."""
        await until(
            lambda: all(len(trace.replies) >= self._answers for trace in self.traces),
            within_s=60,
        )

    def uncounted(self) -> int:
        """Packets that were heard and are no answer, and those that there was no room for."""
        kept = [dataclasses.astuple(trace.counters) for trace in self.traces if not trace.ended]
        told = self.prober.counters()
        ended = told.foreign + told.ambiguous + told.malformed + told.duplicates + told.late
        return sum(map(sum, kept)) + ended + told.overflows

    def told(self) -> dict[str, Any]:
        """Ends all; the rows, what was said beside them, and what is held."""
        under_way = sizes(self.prober)
        for trace in self.traces:
            self.prober.stop(trace)
        rows = [
            row_of(
                [Report(JobId("x")).final(trace, Failure.NONE)],
                packet_type=trace.spec.packet_type,
            )
            for trace in self.traces
        ]
        return {
            "rows": rows,
            "notices": [[each.code for each in trace.notices] for trace in self.traces],
            "overflows": self.prober.counters().overflows,
            "uncounted": self.uncounted(),
            "under_way": under_way,
            "ended": sizes(self.prober),
        }


class Flood:
    """The forger, in a process of his own, who is told when to send how many."""

    def __init__(self, case: Case) -> None:
        self.sent = 0
        program = [sys.executable, "-m", "forgery.flood"]
        self._forger = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._heard() == READY
        # No sooner, so that true answers come in the midst of forged ones.
        self.traces = Traces(case)
        self._say(json.dumps([_probe_of(trace).hex() for trace in self.traces.traces]))

    async def pour(self, packets: int) -> None:
        """Sends so many, a batch at a time, each once the one before has been read and counted."""
        for _ in range(0, packets, _BATCH):
            await self._pour_batch()
            while self.traces.uncounted() < self.sent:  # noqa: ASYNC110 - nobody tells of these
                await asyncio.sleep(0)

    async def settle(self) -> None:
        """Sends more until all is accounted for: what there was no room for is counted in turns."""
        while self.traces.uncounted() < self.sent:
            await self._pour_batch()
            await asyncio.sleep(0.05)

    async def _pour_batch(self) -> None:
        self._say(f"all {_BATCH}")
        self.sent += int(await asyncio.to_thread(self._heard))

    def overwhelm(self) -> None:
        """Sends more than there is room for, while nothing is read."""
        self._say(f"errors {_OVERFLOWING}")
        self.sent += int(self._heard())

    def end(self) -> None:
        """Sends the forger home."""
        self._forger.communicate()

    def _say(self, line: str) -> None:
        assert self._forger.stdin is not None
        self._forger.stdin.write(line + "\n")
        self._forger.stdin.flush()

    def _heard(self) -> str:
        assert self._forger.stdout is not None
        return self._forger.stdout.readline().strip()


def _probe_of(trace: Trace) -> bytes:
    """A probe as it was seen to leave; the forger overwrites what nobody could have seen."""
    packet = bytes(writer_for(trace.flow).write(0, 1))
    return packet if packet[0] >> 4 == 6 else wire.with_header_checksum(packet[:20]) + packet[20:]


async def undisturbed(case: Case) -> dict[str, Any]:
    """What the traces come to by themselves."""
    traces = Traces(case)
    await traces.answered()
    told = traces.told()
    traces.prober.close()
    return told


async def flooded(case: Case, *, packets: int) -> dict[str, Any]:
    """What they come to with forgeries arriving all the time, in the end more than are read."""
    flood = Flood(case)
    traces = flood.traces
    await flood.pour(_BATCH)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    await flood.pour(packets)
    await traces.answered()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    read, overflows = traces.uncounted(), traces.prober.counters().overflows
    assert read == flood.sent
    flood.overwhelm()
    await flood.settle()
    told = traces.told()
    flood.end()
    traces.prober.close()
    return {
        **told,
        "sent": flood.sent,
        "read": read,
        "overflows_while_read": overflows,
        "grown": after - before,
    }


async def main(path: str, packets: str) -> dict[str, Any]:
    """Both, one after the other."""
    case = load(Path(path))
    return {
        "undisturbed": await undisturbed(case),
        "flooded": await flooded(case, packets=int(packets)),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
