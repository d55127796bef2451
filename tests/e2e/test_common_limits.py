"""Limits that hold over two real coordinators together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest
from fleet import AgentSpec, Broker, Fleet
from fleet.asking import ask, metric, until
from fleet.fleet import NO_TLS, two_coordinators
from lab import Lab

AGENTS = [
    AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a"),
    AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a"),
]
QUOTA = 400
UNKNOWN = 5
"""Maximum number of requests that one coordinator has not reported to the other yet."""
RATE = 300
"""Packets a second to one target."""
FLAGS = (
    *("--requests-per-5-minutes", str(QUOTA)),
    *("--target-rate", str(RATE), "--account-target-rate", str(RATE)),
)


@pytest.fixture
def coordinators(lab: Lab, broker: Broker) -> Iterator[list[Fleet]]:
    """Two, with the same agents."""
    with two_coordinators(lab, broker, agents=AGENTS, coordinator_flags=FLAGS) as both:
        yield both


async def _until_they_count_together(coordinators: list[Fleet]) -> None:
    for each in coordinators:

        async def together(each: Fleet = each) -> bool:
            return await metric(each, "colotrace_coordinators") == 2

        await until(together, within_s=5)


async def _use(client: httpx.AsyncClient, coordinator: Fleet) -> tuple[bool, int]:
    """Whether a request is within the quota, and how many more the token has."""
    answer = await client.get(f"{coordinator.path()}/colos", headers=coordinator.headers())
    remaining = int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0])
    assert answer.status_code in (200, 429)
    return answer.status_code == 200, remaining


async def test_quota_of_a_token_holds_over_two_coordinators(coordinators: list[Fleet]) -> None:
    """Used alternately, they accept what one would. A restarted one knows what was used."""
    one, other = coordinators
    await _until_they_count_together(coordinators)
    # After a 429 a connection is not read for a while, so each request has its own.
    fresh = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(verify=NO_TLS, timeout=10, limits=fresh) as client:
        at_one = [await _use(client, one) for _ in range(QUOTA // 2)]
        accepted = sum(ok for ok, _ in at_one)
        # Waiting for the agents has used some; those at the other one may not be known here yet.
        quota = at_one[0][1] + 1

        async def told() -> bool:
            nonlocal accepted
            ok, remaining = await _use(client, other)
            accepted += ok
            return remaining < quota - accepted + UNKNOWN

        await until(told, within_s=2)
        while more := sum([(await _use(client, each))[0] for each in coordinators]):
            accepted += more
        # Each accepts some requests before the report of the other one arrives.
        assert quota - UNKNOWN <= accepted < quota + 0.2 * QUOTA

        await asyncio.to_thread(one.stop_coordinator)
        await asyncio.to_thread(one.start_coordinator)

        async def knows() -> bool:
            return not (await _use(client, one))[0]

        await until(knows, within_s=2)


async def test_target_gets_its_rate_from_two_coordinators_together(
    lab: Lab, coordinators: list[Fleet]
) -> None:
    """Each is asked for as much as takes 3 s at the limit, so that both together take 6 s."""
    await _until_they_count_together(coordinators)
    # The target is silent, so that each trace sends all its packets.
    packets, each_s = 12 * 3, 3
    traces = RATE * each_s // packets
    began = time.monotonic()
    answers = await asyncio.gather(
        *(
            ask(
                each,
                {
                    "targets": [lab.address("dark")],
                    "colos": [("den01", "fra01")[number % 2]],
                    # Identical requests would share a job.
                    "options": {
                        "max_ttl": 12,
                        "wait_time": 1,
                        "packet_type": "udp",
                        "port": 33434 + number,
                    },
                },
            )
            for number in range(traces)
            for each in coordinators
        )
    )
    took_s = time.monotonic() - began
    rows = [row for answer in answers for row in answer["result"][0]["colos"]]
    assert [row["error"] for row in rows] == [""] * len(rows)
    # A burst of a second is free.
    assert took_s > 2 * each_s - 1.5


SLOTS = 20
BUSY, LIGHT = "a" * 32, "b" * 32
"""Accounts."""
TOKENS, REQUESTS = 4, 80
"""Of each account. Several tokens, since one caller may not have all slots."""


@pytest.fixture
def narrow(lab: Lab, broker: Broker) -> Iterator[list[Fleet]]:
    """Two coordinators, with agents that take few jobs."""
    flags = ("--max-jobs", str(SLOTS))
    with two_coordinators(lab, broker, agents=AGENTS, agent_flags=flags) as both:
        yield both


async def test_jobs_of_an_account_at_one_coordinator_count_at_the_other(
    lab: Lab, narrow: list[Fleet]
) -> None:
    """At the second coordinator both accounts ask for the same. The one that has jobs at the first,
    in another colo, gets less until the other one has what it wants."""
    one, other = narrow
    await _until_they_count_together(narrow)
    tokens = {
        account: [
            other.command("token", "create", "--account", account).strip() for _ in range(TOKENS)
        ]
        for account in (BUSY, LIGHT)
    }
    limits = httpx.Limits(max_connections=500)
    async with httpx.AsyncClient(verify=NO_TLS, timeout=40, limits=limits) as client:

        async def row(fleet: Fleet, account: str, colo: str, number: int, *, wait_s: int) -> str:
            """The error of a row; the target answers nothing for so long."""
            options = {"max_ttl": 12, "wait_time": wait_s, "packet_type": "udp"}
            # Identical requests would share a job.
            body = {
                "targets": [lab.address("dark")],
                "colos": [colo],
                "options": {**options, "port": 33434 + number},
            }
            headers = {"Authorization": f"Bearer {tokens[account][number % TOKENS]}"}
            answer = await client.post(fleet.path(account), json=body, headers=headers)
            error: str = answer.json()["result"][0]["colos"][0]["error"]
            return error

        stopping = asyncio.Event()

        async def keep_busy(number: int) -> None:
            while not stopping.is_set():
                await row(one, BUSY, "fra01", number, wait_s=5)

        async with asyncio.TaskGroup() as tasks:
            busy = [tasks.create_task(keep_busy(number)) for number in range(SLOTS - 3)]

            async def full() -> bool:
                return await metric(one, "colotrace_jobs_running") >= len(busy)

            await until(full, within_s=5)
            rows = [
                (account, tasks.create_task(row(other, account, "den01", number, wait_s=1)))
                for number in range(REQUESTS)
                for account in (BUSY, LIGHT)
            ]

            def ended(account: str) -> int:
                return sum(task.done() for whose, task in rows if whose == account)

            # The first requests find free slots, and a single late one says nothing.
            await until(lambda: ended(LIGHT) >= 0.25 * REQUESTS, within_s=60)
            before = ended(BUSY), ended(LIGHT)
            await until(lambda: ended(LIGHT) >= 0.75 * REQUESTS, within_s=60)
            of_busy, of_light = ended(BUSY) - before[0], ended(LIGHT) - before[1]
            await asyncio.wait([task for _, task in rows])
            # To cancel requests could leave open connections.
            stopping.set()
    assert {task.result() for _, task in rows} == {""}
    assert of_busy < 0.7 * of_light
