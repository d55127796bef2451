"""A coordinator on loopback, with simulated agents, and measurements that it has kept."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.history.history import History
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.turns import Turns
from colotrace_proto.measured import Measured, Status
from eventually import wait_until
from fleet import ACCOUNT, Fleet
from forked import Forked
from lab import Process, asn, programs
from msgspec.structs import replace

from bench.driver import Driver
from bench.figures import BenchError

_TOOK_MS = 1_234
_ATTACH_S = 60.0
_EACH = 15
"""Colos of a code."""


class Loopback:
    """What `Fleet` needs of a lab, without one: programs run here."""

    management_address = "127.0.0.1"
    resolver = "127.0.0.1:1"
    """Nothing is looked up."""

    def __init__(self, directory: Path) -> None:
        self.asn_db = directory / "asn.mmdb"
        asn.write(self.asn_db)

    def spawn(self, _host: str | None, argv: Sequence[str | Path], **streams: Any) -> Process:
        """Start a program."""
        return Process([str(word) for word in argv], env=dict(os.environ), **streams)

    def fork(self, _host: str | None, argv: Sequence[str | Path], **streams: Any) -> Forked:
        """Like `spawn`, but forks a process that has imported the coordinator."""
        return programs.start(argv, env=dict(os.environ), **streams)


class Served(Fleet):
    """A coordinator on loopback, whose agents are simulated in one process."""

    def keep(self, measured: Measured) -> str:
        """Put a measurement into its history, as one that has just ended; returns its id."""
        now_ms = int(time.time() * 1e3)
        told = replace(
            measured.summary,
            id=f"{now_ms:012x}7{os.urandom(10).hex()[:19]}",
            account_id=ACCOUNT,
            coordinator="0123456789abcdef" * 2,
            status=Status.COMPLETE,
            began_ms=now_ms - _TOOK_MS,
            ended_ms=now_ms,
        )
        asyncio.run(self._write(replace(measured, summary=told)))
        return str(told.id)

    async def _write(self, measured: Measured) -> None:
        database = await Database.open(locate(data=self.directory, database=None))
        history = History(database, coordinator=measured.summary.coordinator, turns=Turns())
        history.begun(replace(measured.summary, status=Status.RUNNING, ended_ms=None, finished=0))
        for number, trace in measured.traces.items():
            history.row(measured.summary, number, trace)
        history.ended(measured.summary, measured.known)
        await history.write()
        await database.close()

    def get(self, path: str) -> dict[str, Any]:
        """What the API answers."""
        request = urllib.request.Request(  # noqa: S310 - our own coordinator
            self.path() + path, headers=self.headers()
        )
        with urllib.request.urlopen(request) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
            return answer


@contextmanager
def served(colos: int, *, installed: bool = True) -> Iterator[Served]:
    """Start a coordinator with one simulated agent in each of so many colos: 256 at most, since
    no certificates vouch for them. Unless `installed`, the programs are forked."""
    with (
        tempfile.TemporaryDirectory(prefix="colotrace-bench-") as folder,
        Served(
            Loopback(Path(folder)),
            agents=[],
            installed=installed,
            coordinator_flags=("--requests-per-5-minutes", "1000000"),
        ) as fleet,
    ):
        names = [f"{_code(number // _EACH)}{number % _EACH + 1:02}-1" for number in range(colos)]
        with closing(
            Driver.fleet(_spawn if installed else None, "--coordinator", fleet.grpc, *names)
        ):

            def attached() -> bool:
                return len(fleet.colos()) == colos

            wait_until(attached, within_s=_ATTACH_S, error=_not_attached)
            yield fleet


def _not_attached() -> BenchError:
    return BenchError("the simulated agents did not attach")


def _code(number: int) -> str:
    return f"{chr(97 + number // 26)}{chr(97 + number % 26)}x"


def _spawn(argv: list[str], **streams: Any) -> Process:
    return Process([str(word) for word in argv], **streams)
