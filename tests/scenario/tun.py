"""A world behind a TUN device, in a network namespace of its own, for real sockets to probe.

    with TunWorld(case, 4, 6) as world:
        world.run(["traceroute", "-n", "203.0.113.9"])
    world.report.fates["wrong-checksum"]

The namespace has no name: it belongs to the serving process (`scenario.serve`) and goes with it,
and that process goes when its input closes, even by a crash of the test. Nothing is left to clean.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from forked import Captured, Request

from scenario.load import CASES
from scenario.schema import Case, Family
from scenario.serve import READY

_ROOT = Path(__file__).parent.parent
_START_S = 20
_WORLD = ("scenario.serve", "scenario.probe_host")


@dataclass(frozen=True, slots=True)
class Report:
    """What the network saw: packets by fate (see `World.fates`), each family's probes in order."""

    fates: Counter[str]
    seen: list[dict[str, Any]]
    # The most that any packet was delivered after it was due.
    latest_ns: int


class TunWorldError(Exception):
    """The device or its namespace could not be had."""


class TunWorld:
    """Serves one case in its families while entered; `report` is there after the exit."""

    def __init__(self, case: Case, *families: Family, path: Path | None = None) -> None:
        self.case = case
        self.report = Report(fates=Counter(), seen=[], latest_ns=0)
        self._path = path or CASES / f"{case.name}.toml"
        self._families = families
        self._server: Captured | None = None

    def __enter__(self) -> Self:
        arguments = (str(self._path), *map(str, self._families))
        request = Request(module="scenario.serve", arguments=arguments, new_network=True)
        self._server = Captured(request, among=_WORLD)
        if self._server.stdout.readline().strip() != READY:
            with self._server as server:
                code, _, words = server.finish()
            raise TunWorldError(words.strip() or f"ended with {code}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        with self._server as server:
            code, out, words = server.finish()
        if code and error is None:
            raise TunWorldError(words.strip())
        if not code:
            told = json.loads(out)
            self.report = Report(
                fates=Counter(told["fates"]), seen=told["seen"], latest_ns=told["latest_ns"]
            )

    def probe(
        self, families: Sequence[Family], packet_types: Sequence[str]
    ) -> tuple[int, str, str]:
        """Trace the case by `probe_host`; its exit code, output and error output."""
        assert self._server is not None
        lists = ",".join(map(str, families)), ",".join(packet_types)
        request = Request(
            module="scenario.probe_host",
            arguments=(str(self._path), *lists),
            network=f"/proc/{self._server.pid}/ns/net",
            user=f"/proc/{self._server.pid}/ns/user" if os.geteuid() else "",
        )
        with Captured(request, among=_WORLD) as host:
            return host.finish()

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs `argv` inside the namespace."""
        assert self._server is not None
        pid = self._server.pid
        enter = ["nsenter", f"--net=/proc/{pid}/ns/net"]
        if os.geteuid():
            enter += [f"--user=/proc/{pid}/ns/user", "--preserve-credentials"]
        return [*enter, *argv]

    def run(
        self, argv: Sequence[str], *, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside the namespace to its end, its output captured."""
        return subprocess.run(
            self.command(argv),
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@functools.cache
def tun_missing() -> str | None:
    """Return why worlds cannot be served here, None where they can."""
    for program in ("unshare", "nsenter", "ip", "nft"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    probe = "from scenario.device import open_device; open_device()"
    try:
        done = subprocess.run(
            [*_new_namespace(), sys.executable, "-c", probe],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_START_S,
            check=False,
        )
    except OSError as error:
        return str(error)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        return f"no TUN device: {last[0]}"
    return None


def _new_namespace() -> list[str]:
    """Return the command that runs another one in new namespaces, as the process that it was."""
    if os.geteuid() == 0:
        return ["unshare", "--net"]
    return ["unshare", "--user", "--map-root-user", "--net"]
