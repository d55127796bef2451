"""What one target gets from several agents and requests is bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fleet import Fleet
from fleet.asking import ask, sent_packets
from lab import ALIASES, Lab

pytestmark = pytest.mark.xdist_group("target limits")

RATE, ACCOUNT_RATE = 600, 300
"""Packets a second."""
TRACE = 30
"""Packets of a trace, all of which go out: the target answers nothing."""
OPTIONS = {"max_ttl": 10, "packets_per_ttl": 3, "wait_time": 1}
REQUESTS = 12


@pytest.fixture
def limited(lab: Lab) -> Iterator[Fleet]:
    """Agents in all colos."""
    flags = ("--target-rate", str(RATE), "--account-target-rate", str(ACCOUNT_RATE))
    with Fleet(lab, coordinator_flags=flags) as running:
        running.wait_attached()
        yield running


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of several requests at once. `packets` were sent within `seconds`."""

    errors: set[str]
    notices: list[str]
    packets: int
    seconds: float


async def together(fleet: Fleet, bodies: list[dict[str, Any]]) -> Outcome:
    began = time.monotonic()
    answers = await asyncio.gather(*(ask(fleet, body) for body in bodies))
    seconds = time.monotonic() - began
    rows = [row for answer in answers for target in answer["result"] for row in target["colos"]]
    return Outcome(
        errors={row["error"] for row in rows},
        notices=[each["message"] for answer in answers for each in answer["messages"]],
        packets=sum(hop["packets_sent"] for row in rows for hop in row["hops"]),
        seconds=seconds,
    )


async def test_requests_for_one_address_are_spread_over_time(limited: Fleet) -> None:
    """One account has its rate, however many colos and requests it uses."""
    lab = limited.lab
    colos = [colo.name for colo in lab.colos]
    bodies = [
        # No two are identical, since identical ones would share a trace.
        {
            "targets": [lab.address("dark")],
            "colos": colos,
            "options": {**OPTIONS, "packet_type": "udp", "port": 33434 + number},
        }
        for number in range(REQUESTS)
    ]
    got = await together(limited, bodies)
    assert got.errors == {""}
    # A second's worth at once, and what the last trace exceeds it by.
    assert got.packets <= ACCOUNT_RATE * (got.seconds + 1) + TRACE
    assert got.packets > 2 * ACCOUNT_RATE, "too few to reach the limit"
    late = [words for words in got.notices if "because of the limit of packets" in words]
    assert len(late) >= len(bodies) * len(colos) - ACCOUNT_RATE // TRACE - 1 - got.seconds * 10


async def test_names_of_one_address_are_spread_over_time(limited: Fleet) -> None:
    """Agents tell the address before they probe, and the jobs wait for it."""
    colos = [colo.name for colo in limited.lab.colos]
    bodies = [
        {
            "targets": [f"n{number}-{each}.{ALIASES}" for each in range(REQUESTS // 4)],
            "colos": colos,
            "options": OPTIONS,
        }
        for number in range(4)
    ]
    got = await together(limited, bodies)
    assert got.errors == {""}
    assert got.packets <= ACCOUNT_RATE * (got.seconds + 1) + TRACE
    assert any("because of the limit of packets" in words for words in got.notices)
    # No job that had to wait has sent anything before: agents have sent what the rows show.
    for agent_id in list(limited.agents):
        limited.stop_agent(agent_id)
    assert got.packets / 2 < await sent_packets(limited) <= got.packets
