"""Programs that reach a Mosquitto with the access control of deploy/mqtt over TLS."""

import contextlib
import json
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from aiomqtt import MqttError
from colotrace_proto.bus import broker_of
from colotrace_proto.mqtt import connection
from colotrace_proto.running import RunningClock
from eventually import wait_until
from fleet import ACCOUNT
from fleet.authority import Authority
from fleet.guarded import (
    AGENTS,
    WAIT_S,
    GuardedBroker,
)
from forked import Forked
from lab import Lab
from lab.processes import stop_all

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("tls", [False, True])
async def test_programs_report_a_closed_connection_at_once(
    guarded: GuardedBroker, *, tls: bool
) -> None:
    """Without TLS at a TLS port, and without a certificate where one is required."""
    url = guarded.url(None) if tls else guarded.url("den01-a").replace("mqtts", "mqtt")
    context = ssl.create_default_context(cafile=guarded.authority.path) if tls else None
    # A connection that is not answered has another message, after 2 s.
    with pytest.raises(MqttError, match="only one side uses TLS"):
        async with connection(broker_of(url), tls=context, identifier="x", clock=RunningClock()):
            pass


class Programs:
    """A coordinator and agents that require certificates."""

    def __init__(self, lab: Lab, broker: GuardedBroker, folder: Path) -> None:
        self.lab, self.broker, self.folder = lab, broker, folder
        self.url = ""
        self.token = ""
        self._running: list[Forked] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        ended = [(process.args, process.poll()) for process in self._running]
        for process in reversed(self._running):
            stop_all([process], wait_s=30)
        assert all(code is None for _, code in ended), (ended, self.log("coordinator").read_text())

    def log(self, name: str) -> Path:
        """What it logged."""
        return self.folder / f"{name}.log"

    def _spawn(self, name: str, host: str | None, argv: list[Any], mqtt: str) -> None:
        # The password is in the environment, as in a unit.
        with self.log(name).open("wb") as stream:
            self._running.append(
                self.lab.fork(
                    host, argv, env={"COLOTRACE_MQTT": mqtt}, stdout=stream, stderr=stream
                )
            )

    def coordinator(self, mqtt: str, *flags: str | Path) -> None:
        """Started, and listening."""
        pair, data = self.broker.pair("coordinator"), self.folder
        name = BIN / "colotrace-coordinator"
        address = self.lab.management_address
        argv = [name, "serve", "--http", f"{address}:0", "--grpc", f"{address}:0", "--data", data,
                "--allow-private", "--resolver", self.lab.resolver, "--log-format", "json",
                "--tls-cert", pair.certificate, "--tls-key", pair.key,
                "--agent-ca", self.broker.authority.path, "--stop-delay", "0",
                "--mqtt-ca", self.broker.authority.path, *flags]  # fmt: skip
        self._spawn("coordinator", None, argv, mqtt)
        said = self.wait("coordinator", lambda line: line.get("event") == "listening")
        self.url = f"https://{said['http']}/client/v4/accounts/{ACCOUNT}/diagnostics/traceroute"
        create = [name, "token", "create", "--account", ACCOUNT, "--data", data]
        done = subprocess.run(create, capture_output=True, text=True, check=True, timeout=30)
        self.token = done.stdout.strip()

    def agent(self, name: str, mqtt: str, *flags: str | Path) -> None:
        """Started."""
        pair, colo = self.broker.pair(name), AGENTS[name]
        argv = [BIN / "colotrace-agent", "run", "--colo", colo, "--city", colo, "--agent-id", name,
                "--allow-private", "--tls-cert", pair.certificate, "--tls-key", pair.key,
                "--tls-ca", self.broker.authority.path, *flags]  # fmt: skip
        self._spawn(name, colo, argv, mqtt)

    def wait(self, name: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """A line of its log."""
        found: list[dict[str, Any]] = []

        def logged() -> bool:
            for line in self.log(name).read_text().splitlines():
                with contextlib.suppress(ValueError):
                    said = json.loads(line)
                    if isinstance(said, dict) and wanted(said):
                        found.append(said)
            return bool(found)

        wait_until(
            logged,
            within_s=2 * WAIT_S,
            error=lambda: TimeoutError(self.log(name).read_text()),
        )
        return found[0]

    def traced(self) -> dict[str, Any]:
        """The rows of all colos for one target, once all agents are attached."""
        context = ssl.create_default_context(cafile=self.broker.authority.path)
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(verify=context, headers=headers, timeout=30) as client:

            def attached() -> bool:
                colos = client.get(f"{self.url}/colos").json()["result"]
                return {each["name"]: each["agents"] for each in colos} == {"den01": 2, "sin01": 1}

            wait_until(attached, within_s=WAIT_S)
            answer: dict[str, Any] = client.post(
                self.url, json={"targets": [self.lab.address("web"), self.lab.address("far")]}
            ).json()
            return answer


@pytest.mark.parametrize("by_certificate", [False, True])
def test_programs_work_with_these_rights(
    lab: Lab, guarded: GuardedBroker, tmp_path: Path, *, by_certificate: bool
) -> None:
    """TLS everywhere: a coordinator and three agents of two colos trace without a message."""
    pair = guarded.pair("coordinator")
    shown = ("--mqtt-cert", pair.certificate, "--mqtt-key", pair.key) if by_certificate else ()
    with Programs(lab, guarded, tmp_path) as programs:
        programs.coordinator(guarded.url(None if by_certificate else "coordinator"), *shown)
        for agent in AGENTS:
            programs.agent(agent, guarded.url(None if by_certificate else agent))
        answer = programs.traced()
        assert answer["messages"] == []
        rows = [row for target in answer["result"] for row in target["colos"]]
        assert [(row["colo"]["name"], row["error"]) for row in rows] == [
            ("den01", ""),
            ("sin01", ""),
        ] * 2


def test_programs_report_why_the_broker_refuses_them(
    lab: Lab, guarded: GuardedBroker, tmp_path: Path
) -> None:
    """A broker certificate of another CA, a wrong password, another agent's user."""
    other = Authority(tmp_path / "other").path
    with Programs(lab, guarded, tmp_path) as programs:
        programs.coordinator(guarded.url("coordinator"), "--mqtt-ca", other)
        programs.agent("den01-a", guarded.url("den01-a"), "--mqtt-ca", other)
        programs.agent("den01-b", guarded.url("den01-b").replace("p%40ss", "wrong"))
        programs.agent("sin01-a", guarded.url("den01-a"))

        def said(name: str, *words: str) -> None:
            programs.wait(name, lambda line: all(word in json.dumps(line) for word in words))

        said("coordinator", "broker_unreachable", "certificate verify failed")
        said("den01-a", "certificate verify failed")
        said("den01-b", "Not authorized")
        # Another agent's user.
        said("sin01-a", "it does not let us", "colotrace/v1/agents/sin01/sin01-a/")
