"""Running colotrace: the engine alone in a process, and a running agent with its stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from bench.driver import Driver
from bench.figures import BEYOND, Measurement, Run
from bench.peers import MAX_TTL, PER_TTL
from bench.places import Place

SENT = "wall, from the job's being sent"
TYPES = ("icmp", "udp", "tcp")


@contextmanager
def measurements(
    place: Place,
    *,
    max_ttl: int = MAX_TTL,
    answers: int | None = None,
    types: Sequence[str] = TYPES,
    wait_ms: int = 1_000,
) -> Iterator[dict[str, Measurement]]:
    """A trace of each packet type by the engine and by the agent.

    It is complete with `answers` answered hops, by default all.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(closing(Driver.engine(place.spawn)))
        agent = stack.enter_context(closing(Driver.agent(place.spawn)))
        wanted = (place.hops if answers is None else answers) * PER_TTL
        yield {
            f"{label}, {kind.upper()}": partial(
                trace, driver, place, kind, max_ttl=max_ttl, wanted=wanted, wait_ms=wait_ms
            )
            for label, driver in (("engine", engine), ("agent", agent))
            for kind in types
        }


def trace(
    driver: Driver, place: Place, kind: str, *, max_ttl: int, wanted: int, wait_ms: int = 1_000
) -> Run:
    """One trace of the place's path; it is complete with `wanted` replies."""
    got = driver.call(
        target=place.target,
        packet_type=kind,
        max_ttl=max_ttl,
        packets_per_ttl=PER_TTL,
        wait_ms=wait_ms,
    )
    values = {
        "wall": got["wall_ms"],
        BEYOND: got["wall_ms"] - place.longest_ms,
        "longest RTT seen": got["longest_rtt_ms"],
        "CPU": got["cpu_ms"],
    }
    if "from_asked_ms" in got:
        values[SENT] = got["from_asked_ms"]
    return Run(values, complete=got["replies"] == wanted)


def ours(label: str) -> bool:
    """Whether that tool is the engine or the agent."""
    return label.partition(",")[0] in ("engine", "agent")
