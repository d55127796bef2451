"""Many traces at once do not mix."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fleet import Fleet
from fleet.fleet import NO_TLS
from fleet.judge import row_faults
from lab import Lab

pytestmark = pytest.mark.xdist_group("fleet")

_PACKET_TYPES = ("icmp", "udp", "tcp")


async def test_two_hundred_traces_at_once(fleet: Fleet, lab: Lab) -> None:
    """100 to one target (told apart by their options) and 100 to different ones, from one agent."""
    same = [
        {
            "targets": [lab.address("far")],
            "colos": ["sin01"],
            "options": {
                "packet_type": _PACKET_TYPES[i % 3],
                # No two are identical, since identical ones would share a trace.
                "max_ttl": 16 + i // 3,
                "wait_time": 5,
            },
        }
        for i in range(100)
    ]
    different = [
        {
            "targets": list(lab.many())[10 * i : 10 * (i + 1)],
            "colos": ["sin01"],
            "options": {"packet_type": _PACKET_TYPES[i % 3], "wait_time": 5},
        }
        for i in range(10)
    ]
    async with httpx.AsyncClient(headers=fleet.headers(), timeout=30, verify=NO_TLS) as client:
        said: list[Any] = []

        async def ask(body: dict[str, Any]) -> Any:
            answer = (await client.post(fleet.path(), json=body)).json()
            said.extend(answer["messages"])
            return answer["result"]

        answers = await asyncio.gather(*(ask(body) for body in (*same, *different)))
    faults = []
    for result in answers[:100]:
        faults += row_faults(lab, result[0]["colos"][0], target="far")
    for body, result in zip(different, answers[100:], strict=True):
        for address, row in zip(body["targets"], result, strict=True):  # type: ignore[arg-type, call-overload]
            faults += row_faults(lab, row["colos"][0], target=address)
    assert faults == [], said
