"""Starts the coordinator in the caller's namespace and each agent in its colo's, and stops them.

    with Lab() as lab, Fleet(lab) as fleet:
        fleet.wait_attached()
        cloudflare.Cloudflare(base_url=fleet.base_url, api_token=fleet.token)

Nothing of the programs is replaced: they run with their own flags.
"""

from __future__ import annotations

import json
import shutil
import signal
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
from eventually import wait_until
from forked import Forked
from lab import Lab, Process
from lab.processes import stop_all

from fleet.broker import Broker
from fleet.data import prepare
from fleet.enrolled_broker import EnrolledBroker
from fleet.flags import OWN, fitting

ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP: reading the system's certificates takes 30 ms of processor time."""
_READY_S = 20.0


_ON_A_SMALL_DISK = """set -e
dir=$1; size=$2; shift 2
kept=$(mktemp -d); cp -p "$dir"/* "$kept"
mount -t tmpfs -o size="$size",mode=700 none "$dir"
cp -p "$kept"/* "$dir"; rm -r "$kept"
exec "$@"
"""
"""The directory becomes a small file system, with the same files, that the program alone sees."""


class FleetError(Exception):
    """A program did not come up; the text holds what it logged."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent to run: the lab's host it runs on, and what it is called."""

    host: str
    colo: str
    city: str
    agent_id: str
    tags: tuple[str, ...] = ()
    location: str = ""


class Fleet:
    """The running programs. By default one agent in each of the lab's colos."""

    def __init__(
        self,
        lab: Lab,
        *,
        agents: list[AgentSpec] | None = None,
        coordinator_flags: tuple[str, ...] = (),
        agent_flags: tuple[str, ...] = (),
        grpc_host: str | None = None,
        broker: Broker | EnrolledBroker | None = None,
        beside: Fleet | None = None,
        database: str | None = None,
        disk_bytes: int | None = None,
        installed: bool = False,
        programs: Path = OWN,
    ) -> None:
        """With `broker`, agents and coordinator meet there. `beside` another fleet on the same
        broker, this is one more coordinator, which shares its database and agents. `database` is
        the URL of an empty one; by default it is a file, on a file system of `disk_bytes` if that
        is given. With `installed`, each program is started as its users do it, not forked.
        `programs` has those of another release; flags that they do not know are left out."""
        self.lab = lab
        self.programs = programs
        """The folder of the coordinator that is started next."""
        self.agent_programs = programs
        """The folder of the agents that are started next."""
        self._installed = installed
        self.token = ""
        self.agents: dict[str, Process | Forked] = {}
        self.coordinator: Process | Forked | None = None
        self.specs = agents if agents is not None else default_agents(lab)
        self._coordinator_flags = coordinator_flags
        self._agent_flags = agent_flags
        self._grpc_host = grpc_host or lab.management_address
        self._http = "127.0.0.1:0"
        self._grpc = f"{self._grpc_host}:0"
        self._join = ""
        self.broker = broker
        self._disk_bytes = disk_bytes
        self.database = database or (beside.database if beside is not None else None)
        self._beside = beside
        self.directory = Path(tempfile.mkdtemp(prefix="colotrace-fleet-"))
        self.trust = NO_TLS

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Starts everything; agents attach in their own time (`wait_attached`)."""
        try:
            if self._beside is not None:
                self.token = self._beside.token
                self.start_coordinator()
                return
            if self.database is None and self.programs == OWN:
                self.token = prepare(
                    self.directory, program=OWN / "colotrace-coordinator", account=ACCOUNT
                )
            else:
                self.token = self.command("token", "create", "--account", ACCOUNT).strip()
            self.start_coordinator()
            for spec in self.specs:
                self.start_agent(spec)
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops everything, coordinator last, and removes its files."""
        for agent_id in list(self.agents):
            self.stop_agent(agent_id)
        self.stop_coordinator()
        shutil.rmtree(self.directory, ignore_errors=True)

    # Where it is.

    @property
    def url(self) -> str:
        """The coordinator's root, without a path."""
        return f"http://{self._http}"

    @property
    def base_url(self) -> str:
        """What an official SDK takes as its base URL."""
        return f"{self.url}/client/v4"

    @property
    def grpc(self) -> str:
        """HOST:PORT that agents attach to."""
        return self._grpc

    @property
    def _data(self) -> Path:
        return self._beside.directory if self._beside is not None else self.directory

    def _stored(self) -> tuple[str | Path, ...]:
        return ("--database", self.database) if self.database else ("--data", self._data)

    def _meeting(self) -> tuple[str, ...]:
        return ("--mqtt", self.broker.url) if self.broker is not None else ()

    def _security(self) -> tuple[str, ...]:
        return ("--insecure",)

    def _stopping(self) -> tuple[str, ...]:
        # Without a load balancer there is nothing to wait for.
        return ("--stop-delay", "0") if self.broker is not None else ()

    def _spawner(self, programs: Path) -> Callable[..., Process | Forked]:
        # The fork server holds the modules of this checkout.
        return self.lab.spawn if self._installed or programs != OWN else self.lab.fork

    # The coordinator.

    def start_coordinator(self) -> None:
        """Starts it; a second time on the same ports, and with the same data."""
        argv = [
            self.programs / "colotrace-coordinator", "serve",
            "--http", self._http, "--grpc", self._grpc,
            *self._stored(), *self._security(), "--allow-private",
            "--resolver", self.lab.resolver, "--asn-db", self.lab.asn_db,
            "--target-rate", "1000000", "--account-target-rate", "1000000",
            "--log-format", "json", *self._meeting(), *self._stopping(),
            *self._coordinator_flags,
        ]  # fmt: skip
        argv = fitting(argv)
        spawn = self._spawner(self.programs)
        if self._disk_bytes is not None:
            spawn = self.lab.spawn
            words = ["unshare", "--mount", "sh", "-c", _ON_A_SMALL_DISK, "sh"]
            argv = [*words, self.directory, str(self._disk_bytes), *argv]
        log = self.directory / "coordinator.log"
        with log.open("ab") as stream:
            offset = stream.tell()
            self.coordinator = spawn(None, argv, stdout=stream, stderr=stream)
        event = self._wait_event(self.coordinator, log, offset, "listening")
        self._http, self._grpc = event["http"], event["grpc"]
        self._join = event.get("join", "")

    @property
    def disk(self) -> Path:
        """The coordinator's directory, as it sees it."""
        assert self.coordinator is not None
        return Path(f"/proc/{self.coordinator.pid}/root{self.directory}")

    def stop_coordinator(self, *, kill: bool = False) -> None:
        """SIGTERM and wait, or SIGKILL."""
        if self.coordinator is not None:
            if kill:
                self.coordinator.kill()
            stop_all([self.coordinator], wait_s=30)
            self.coordinator = None

    def command(self, *words: str) -> str:
        """What `colotrace-coordinator WORDS --data …` prints."""
        argv = [self.programs / "colotrace-coordinator", *words, *self._stored()]
        run = self.lab.run_forked if self.programs == OWN else self.lab.run
        done = run(None, argv)
        if done.returncode:
            raise FleetError(done.stderr)
        return done.stdout

    # Agents.

    def start_agent(self, spec: AgentSpec, *, name: str = "") -> None:
        """Starts it; returns at once. `name` is what it is called here, where its id will not do:
        another agent may have the same one."""
        name = name or spec.agent_id
        argv = [
            self.agent_programs / "colotrace-agent", "run",
            "--colo", spec.colo, "--city", spec.city,
            "--agent-id", spec.agent_id, "--insecure", "--allow-private",
            *(word for tag in spec.tags for word in ("--tag", tag)),
            *(("--location", spec.location) if spec.location else ()),
            *(self._meeting() or ("--coordinator", self._grpc)), *self._agent_flags,
        ]  # fmt: skip
        argv = fitting(argv)
        with self.agent_log(name).open("ab") as stream:
            spawn = self._spawner(self.agent_programs)
            self.agents[name] = spawn(spec.host, argv, stdout=stream, stderr=stream)

    def stop_agent(self, agent_id: str, *, kill: bool = False) -> int:
        """SIGTERM and wait, or SIGKILL; its exit status."""
        if kill:
            self.agents[agent_id].kill()
        self.thaw_agent(agent_id)
        agent = self.agents.pop(agent_id)
        stop_all([agent], wait_s=30)
        return agent.wait()

    def freeze_agent(self, agent_id: str) -> None:
        """SIGSTOP: as if its host had gone without a word."""
        self.agents[agent_id].send_signal(signal.SIGSTOP)

    def thaw_agent(self, agent_id: str) -> None:
        """SIGCONT."""
        self.agents[agent_id].send_signal(signal.SIGCONT)

    def agent_log(self, agent_id: str) -> Path:
        """What the agent logged."""
        return self.directory / f"agent-{agent_id}.log"

    # What the API says.

    def headers(self) -> dict[str, str]:
        """The credentials of a request."""
        return {"Authorization": f"Bearer {self.token}"}

    def path(self, account: str = ACCOUNT) -> str:
        """The operation's URL."""
        return f"{self.base_url}/accounts/{account}/diagnostics/traceroute"

    def colos(self) -> list[dict[str, Any]]:
        """The colos, as the coordinator knows them now."""
        answer = httpx.get(
            f"{self.path()}/colos", headers=self.headers(), timeout=5, verify=self.trust
        )
        answer.raise_for_status()
        result: list[dict[str, Any]] = answer.json()["result"]
        return result

    def trace(self, body: dict[str, Any], *, timeout_s: float = 30) -> dict[str, Any]:
        """The answer to a request."""
        answer = httpx.post(
            self.path(), headers=self.headers(), json=body, timeout=timeout_s, verify=self.trust
        )
        envelope: dict[str, Any] = answer.json()
        return envelope

    def wait_attached(self, *, within_s: float = _READY_S) -> float:
        """Waits until every agent that was started takes jobs; the seconds it took."""
        began = time.monotonic()
        expected = len((self._beside or self).agents)

        def attached() -> bool:
            # An agent that the broker has not announced is attached, but gets no jobs.
            up = (colo for colo in self.colos() if colo["state"] == "up")
            return sum(colo["agents"] for colo in up) >= expected

        def not_attached() -> FleetError:
            logs = "".join(self.agent_log(agent_id).read_text() for agent_id in self.agents)
            return FleetError(f"agents did not attach within {within_s} s:\n{logs}")

        wait_until(attached, within_s=within_s, error=not_attached)
        return time.monotonic() - began

    def wait_families(self, *families: str, within_s: float = _READY_S) -> None:
        """Waits until the only colo is listed with these address families."""
        wanted = [list(families)]
        wait_until(lambda: [colo["families"] for colo in self.colos()] == wanted, within_s=within_s)

    def _wait_event(
        self, process: Process | Forked, log: Path, offset: int, event: str
    ) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def logged() -> bool:
            for line in log.read_bytes()[offset:].splitlines():
                if line.startswith(b"{") and line.endswith(b"}"):
                    said = json.loads(line)
                    if said.get("event") == event:
                        found.append(said)
            if not found and process.poll() is not None:
                raise FleetError(log.read_text())
            return bool(found)

        wait_until(logged, within_s=_READY_S, error=lambda: FleetError(log.read_text()))
        return found[0]


def default_agents(lab: Lab) -> list[AgentSpec]:
    """One agent in each of the lab's colos."""
    return [
        AgentSpec(
            host=colo.name,
            colo=colo.name,
            city=colo.city,
            agent_id=f"{colo.name}-a",
            location=colo.location,
        )
        for colo in lab.colos
    ]


@contextmanager
def two_coordinators(
    lab: Lab,
    broker: Broker,
    *,
    agents: list[AgentSpec],
    coordinator_flags: tuple[str, ...] = (),
    agent_flags: tuple[str, ...] = (),
    database: str | None = None,
    programs: Path = OWN,
) -> Iterator[list[Fleet]]:
    """Two coordinators with the same agents, which both of them see."""
    with (
        Fleet(
            lab,
            agents=agents,
            broker=broker,
            coordinator_flags=coordinator_flags,
            agent_flags=agent_flags,
            database=database,
            programs=programs,
        ) as one,
        Fleet(
            lab,
            broker=broker,
            beside=one,
            coordinator_flags=coordinator_flags,
            programs=programs,
        ) as other,
    ):
        for each in (one, other):
            each.wait_attached()
        yield [one, other]
