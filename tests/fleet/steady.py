"""Requests at a steady rate, and what was wrong with their answers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from lab import Lab

from fleet.asking import slow
from fleet.fleet import ACCOUNT, NO_TLS
from fleet.judge import row_faults

EVERY_S = 0.1


class Load:
    """Requests that begin every `EVERY_S`, whether or not earlier ones were answered. Every tenth
    takes 5 s. Connections are kept and used again."""

    def __init__(self, lab: Lab, url: str, token: str) -> None:
        self._lab = lab
        self._path = f"{url}/accounts/{ACCOUNT}/diagnostics/traceroute"
        self._token = token
        self.asked = 0
        self.faults: list[Any] = []

    async def run(self, until: asyncio.Event) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with (
            httpx.AsyncClient(headers=headers, timeout=40, verify=NO_TLS) as client,
            asyncio.TaskGroup() as tasks,
        ):
            while not until.is_set():
                tasks.create_task(self._ask(client, self.asked))
                self.asked += 1
                await asyncio.sleep(EVERY_S)

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        colo = ("den01", "fra01")[number % 2]
        target, body = "web", {"targets": [self._lab.address("web")], "colos": [colo]}
        body["options"] = {"max_ttl": 12 + number % 7}  # identical requests would share a job
        if number % 10 == 0:
            target, body = "dark", slow(self._lab, colo)
        try:
            answer = await client.post(self._path, json=body)
        except httpx.HTTPError as error:
            self.faults.append((number, repr(error)))
            return
        if answer.status_code != 200:
            self.faults.append((number, answer.status_code, answer.text))
            return
        (row,) = answer.json()["result"][0]["colos"]
        if row["error"]:
            self.faults.append((number, row["error"], answer.json()["messages"]))
        elif target == "web":
            self.faults += row_faults(self._lab, row, target=target)
