"""The programs of a load run: coordinators with TLS, simulated agents, and clients of the API."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from fleet.authority import Authority
from fleet.data import prepare
from forked import Forked
from lab import Process
from lab.processes import stop_all
from lab.programs import start

from bench import proc
from bench.driver import Driver
from bench.figures import BenchError

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
_HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).parent / "colotrace-coordinator"
_READY_S = 20.0
_LOOK_S = 0.05
_ADDRESS = "127.0.0.1"


def agent_names(colos: int, agents: int) -> list[str]:
    """The agents, `COLO-NUMBER`, spread evenly over the colos `sim1`, `sim2` …"""
    return [f"sim{number % colos + 1:04}-{number // colos}" for number in range(agents)]


def colo_names(colos: int) -> list[str]:
    """The colos of `agent_names`."""
    return [f"sim{number:04}" for number in range(1, colos + 1)]


class Coordinator:
    """A coordinator on loopback, with TLS for agents and clients. End it by `stop`."""

    def __init__(
        self,
        directory: Path,
        authority: Authority,
        flags: Sequence[str] = (),
        *,
        shares: Coordinator | None = None,
        program: Sequence[str | Path] = (PROGRAM,),
        installed: bool = True,
    ) -> None:
        """`flags` are further ones of `serve`. `shares` is a coordinator whose data it uses.
        Unless `installed`, the usual program is forked, not started, and so are its clients."""
        self.authority = authority
        self._program = program
        self.installed = installed
        self.log = directory / f"coordinator-{'a' if shares is None else 'b'}.log"
        self._directory = directory
        self._flags = flags
        self._where = {"http": f"{_ADDRESS}:0", "grpc": f"{_ADDRESS}:0"}
        self._process: Process | Forked | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._tls = ssl.create_default_context(cafile=authority.path)
        self.token = shares.token if shares else _prepare(directory)
        self._pair = authority.issue("coordinator", also=_ADDRESS)
        self.start()

    def start(self) -> None:
        """Start it; a second time on the same ports and with the same data."""
        argv = [
            *self._program, "serve", "--http", self.http, "--grpc", self.grpc,
            "--data", self._directory, "--allow-private", "--log-format", "json",
            "--tls-cert", self._pair.certificate, "--tls-key", self._pair.key,
            "--agent-ca", self.authority.path,
            "--requests-per-5-minutes", "1000000000",
            "--target-rate", "1000000000", "--account-target-rate", "1000000000", *self._flags,
        ]  # fmt: skip
        with self.log.open("ab") as stream:
            offset = stream.tell()
            if self.installed or self._program != (PROGRAM,):
                self._process = Process(list(map(str, argv)), stdout=stream, stderr=stream)
            else:
                environment = dict(os.environ)
                self._process = start(argv, env=environment, stdout=stream, stderr=stream)
        self._where = self._listening(offset)

    @property
    def http(self) -> str:
        """HOST:PORT of the API."""
        return self._where["http"]

    @property
    def grpc(self) -> str:
        """HOST:PORT that agents attach to."""
        return self._where["grpc"]

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise BenchError("the coordinator is not running")
        return self._process.pid

    @property
    def head(self) -> str:
        """The first lines of a request."""
        return (
            f"POST /client/v4/accounts/{ACCOUNT}/diagnostics/traceroute HTTP/1.1\r\n"
            f"Host: {self.http}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.token}\r\n"
        )

    def attached(self) -> int:
        """The number of attached agents."""
        return round(self.metric("colotrace_agents"))

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 while it has no value."""
        with httpx.Client(verify=self._tls, timeout=_READY_S) as client:
            text = client.get(f"https://{self.http}/metrics").text
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        if f"# TYPE {name} " not in text:
            raise BenchError(f"/metrics has no {name}")
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def wait_attached(self, agents: int, *, within_s: float = 60.0) -> float:
        """Wait until that many agents are attached; returns the seconds it took."""
        began = time.monotonic()
        while (attached := self.attached()) < agents:
            if time.monotonic() - began > within_s:
                raise BenchError(f"{attached} of {agents} agents attached within {within_s:g} s")
            time.sleep(_LOOK_S)
        return time.monotonic() - began

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process is not None:
            stop_all([self._process], wait_s=30)
            self._process = None

    def _listening(self, offset: int) -> dict[str, str]:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            for line in self.log.read_bytes()[offset:].splitlines():
                if line.startswith(b"{") and line.endswith(b"}"):
                    said = json.loads(line)
                    if said.get("event") == "listening":
                        return {"http": said["http"], "grpc": said["grpc"]}
            time.sleep(_LOOK_S)
        raise BenchError(f"the coordinator did not start:\n{self.log.read_text()[-2000:]}")


class Agents:
    """Simulated agents, each group of them in a process of its own."""

    def __init__(
        self, where: Sequence[str], authority: Authority, *, installed: bool = True
    ) -> None:
        """`where`: `--coordinator HOST:PORT` or `--mqtt URL`."""
        self._where, self._authority, self._installed = where, authority, installed
        self._drivers: list[Driver] = []

    def add(self, names: Sequence[str]) -> None:
        """Start a further process with these agents."""
        folder = self._authority.path.parent
        for name in names:
            if not (folder / f"{name}.pem").exists():
                self._authority.issue(name, also=name.rpartition("-")[0], client=True)
        flags = ["--authority", str(self._authority.path), "--certificates", str(folder)]
        self._drivers.append(
            _helper("agents", *self._where, *flags, *names, installed=self._installed)
        )

    def behave(self, **behaviour: float | Sequence[str]) -> None:
        """Change how jobs end; see `agents.Behaviour`."""
        for driver in self._drivers:
            driver.call(**behaviour)

    def report(self, *, after_s: float) -> None:
        """Let jobs that wait with their first frame send it after this time."""
        for driver in self._drivers:
            driver.call(report_in_s=after_s)

    def attached(self) -> int:
        """The number of streams that are up."""
        return sum(int(driver.call()["attached"]) for driver in self._drivers)

    def running(self) -> int:
        """The number of jobs that run."""
        return sum(int(driver.call()["running"]) for driver in self._drivers)

    def reported_at(self) -> float:
        """On the machine's monotonic clock: when the last job was reported."""
        return max(float(driver.call()["reported_at"]) for driver in self._drivers)

    def cpu_ms(self) -> float:
        """CPU time of all processes so far."""
        return sum(proc.cpu_ms(driver.pid) for driver in self._drivers)

    def close(self) -> None:
        """End the processes."""
        for driver in self._drivers:
            driver.close()


class Clients:
    """Clients of one or several coordinators, in a process of their own."""

    def __init__(self, coordinators: Sequence[Coordinator]) -> None:
        self._coordinators = coordinators
        self._driver = _helper("clients", installed=coordinators[0].installed)

    def run(self, streams: list[dict[str, Any]], *, seconds: float) -> dict[str, Any]:
        """Run the streams; see `clients`."""
        return self._driver.call(
            addresses=[each.http for each in self._coordinators],
            authority=str(self._coordinators[0].authority.path),
            head=self._coordinators[0].head,
            streams=streams,
            seconds=seconds,
        )

    def cpu_ms(self) -> float:
        """CPU time of the process so far."""
        return proc.cpu_ms(self._driver.pid)

    def close(self) -> None:
        """End the process."""
        self._driver.close()


def _prepare(directory: Path) -> str:
    return prepare(directory, program=PROGRAM, account=ACCOUNT)


def _helper(name: str, *flags: str, installed: bool) -> Driver:
    if not installed:
        return Driver.forked(f"load.{name}", *flags)

    def spawn(argv: Sequence[str | Path], **more: Any) -> Process:
        environment = {**os.environ, "PYTHONPATH": str(_HERE.parent)}
        return Process(list(map(str, argv)), env=environment, **more)

    return Driver(spawn, [sys.executable, "-m", f"load.{name}", *flags])
