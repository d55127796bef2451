"""How long a reply takes to somebody who watches its measurement, with real programs.

    PYTHONPATH=tests .venv/bin/python -m load.first_events [MEASUREMENTS]

The simulated agent reads the monotonic clock when it gives its first frame to its link, and the
watcher when it has read the first event with a hop. So the time includes the way from the agent to
the coordinator: it is longer than from the reply's arrival there.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import ssl
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from eventually import until
from fleet.authority import Authority

from bench.figures import BenchError

from .bed import TARGETS, request
from .names import NoNames
from .pair import Pair
from .programs import ACCOUNT, agent_names

_PATH = f"/client/v4/accounts/{ACCOUNT}/diagnostics/traceroute"
_START = b"event: start\n"
_HOPS = b'"colo":0,"hops":[{'
"""In an event `hops` that has a hop: one that is sent when the job begins has none."""
_ASYNC = {"prefer": "respond-async"}
_EVENTS = {"accept": "text/event-stream"}
_ENDS_AFTER_S = 0.03
_WITHIN_S = 20.0
_HELD_S = 20.0
_REPLY_AFTER_S = (0.002, 0.2)
"""When the first reply comes, after the watcher has the event `start`: at a random time between
these."""


@dataclass(frozen=True, slots=True)
class Delays:
    """From the agent to the watcher's first event with a hop, in ms, one for each measurement."""

    own_ms: list[float]
    """The watcher is the POST itself."""
    other_ms: list[float]
    """The watcher is at the other coordinator, which gets events by the broker."""


class Bed:
    """Two coordinators with TLS, a broker, and a simulated agent."""

    def __init__(self, *, installed: bool = True) -> None:
        """Unless `installed`, the programs are forked."""
        self._installed = installed
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="colotrace-first-"))
            )
            authority = Authority(folder / "tls")
            names = NoNames()
            stack.callback(names.close)
            flags = ("--resolver", names.address, "--stop-delay", "0")
            pair = Pair(
                stack,
                folder,
                authority,
                flags,
                agents=agent_names(1, 1),
                installed=self._installed,
            )
            self._one, self._other = pair.coordinators
            self._agents = pair.agents
            self._tls = ssl.create_default_context(cafile=authority.path)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def measure(self, measurements: int, *, seed: int = 0) -> Delays:
        """So many measurements that are watched at each coordinator, one after the other."""
        return asyncio.run(self._measure(measurements, random.Random(seed)))

    async def _measure(self, measurements: int, drawn: random.Random) -> Delays:
        self._agents.behave(report_after_s=_HELD_S, ends_after_s=_ENDS_AFTER_S)
        headers = {"authorization": f"Bearer {self._one.token}"}
        post = ("POST", f"https://{self._one.http}{_PATH}")
        own, other = [], []
        async with httpx.AsyncClient(
            headers=headers, verify=self._tls, timeout=_WITHIN_S
        ) as client:
            for number in range(-1, measurements):  # the first one opens connections
                # No two in a row are alike: those that begin together are traced once.
                first, second = _bodies(2 * number)
                own.append(await self._delay(client, post, first, drawn.uniform(*_REPLY_AFTER_S)))
                begun = await client.post(post[1], json=second, headers=_ASYNC)
                events = f"{_PATH}/{begun.headers['measurement-id']}/events"
                get = ("GET", f"https://{self._other.http}{events}")
                other.append(await self._delay(client, get, None, drawn.uniform(*_REPLY_AFTER_S)))
        return Delays(own[1:], other[1:])

    async def _delay(
        self,
        client: httpx.AsyncClient,
        what: tuple[str, str],
        body: dict[str, Any] | None,
        reply_after_s: float,
    ) -> float:
        """Watch a measurement to its end; the delay of its first hop, in ms. The agent gets its
        reply this time after the watcher has begun."""
        text, came_at = b"", 0.0
        async with client.stream(*what, json=body, headers=_EVENTS) as response:
            if response.status_code != 200:
                raise BenchError(f"{what}: {response.status_code} {await response.aread()!r}")
            async for chunk in response.aiter_raw():
                now = time.monotonic()
                began = _START in text
                text += chunk
                if _START in text and not began:
                    # The job is on its way.
                    await until(lambda: self._agents.running() > 0, within_s=_WITHIN_S)
                    self._agents.report(after_s=reply_after_s)
                if _HOPS in text and not came_at:
                    came_at = now
        if not came_at:
            raise BenchError(f"no event with hops: {text[:2_000]!r}")
        return (came_at - self._agents.reported_at()) * 1e3


def _bodies(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Requests of the targets of this number and the next one."""
    targets = (TARGETS[each % len(TARGETS)] for each in (number, number + 1))
    first, second = (request(1, 1) | {"targets": [target]} for target in targets)
    return first, second


def main() -> None:
    """Print a line for each coordinator."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("measurements", nargs="?", type=int, default=60)
    with Bed() as bed:
        delays = bed.measure(parser.parse_args().measurements)
    for words, each in (("its own", delays.own_ms), ("another", delays.other_ms)):
        print(
            f"watched at {words} coordinator: the first event after "
            f"{statistics.median(each):.2f} ms (median of {len(each)}), {max(each):.2f} ms at most"
        )


if __name__ == "__main__":
    main()
