"""Access control of a Mosquitto that is configured by the files of deploy/mqtt. Only ports and
paths are changed. Each test runs with the ACL file, and with the plugin that mosquitto.conf
describes."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from colotrace_proto.bus import broker_of
from colotrace_proto.mqtt import MqttError, connection
from colotrace_proto.running import RunningClock
from fleet import ACCOUNT
from fleet.authority import Authority, Pair
from forked import Forked
from lab import Lab, Process
from lab.processes import stop_all
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

DEPLOY = Path(__file__).parents[2] / "deploy" / "mqtt"
BIN = Path(sys.executable).parent
WAIT_S = 10.0
USERS = ("coordinator", "den01-a", "den01-b", "sin01-a")  # as in deploy/mqtt/acl
AGENTS = {"den01-a": "den01", "den01-b": "den01", "sin01-a": "sin01"}
NOT_AUTHORIZED = 135
BOOT = "0123456789abcdef" * 2
TREE = "colotrace/v1"


class Guarded:
    """The broker: by password at one port, by certificate at another, both over TLS."""

    def __init__(self, lab: Lab, folder: Path, *, plugin: bool) -> None:
        self.plugin = plugin
        self.host = lab.management_address
        self.folder = folder
        self.authority = Authority(folder)
        self.by_password, self.by_certificate = _free_ports(self.host)
        self._pairs: dict[str, Pair] = {}
        self._lab = lab
        self._process: Process | None = None

    def __enter__(self) -> Self:
        broker = self.authority.issue("broker", also=self.host)
        assert broker.certificate.name == "broker.pem"
        assert broker.key.name == "broker.key"
        assert self.authority.path.name == "ca.pem"
        passwords = self.folder / "passwords"
        passwords.touch(mode=0o600)
        for user in USERS:
            argv = ["mosquitto_passwd", "-b", str(passwords), user, self.password(user)]
            subprocess.run(argv, check=True, timeout=WAIT_S)
        shutil.copy(DEPLOY / "acl", self.folder)
        agents = [f"{colo}/{agent}" for agent, colo in AGENTS.items()]
        (self.folder / "roles.json").write_text(_access("roles", *agents))
        file = self.folder / "mosquitto.conf"
        file.write_text(self._configuration())
        log = self.folder / "broker.log"
        with log.open("wb") as stream:
            self._process = self._lab.spawn(
                None, ["mosquitto", "-c", str(file)], stdout=stream, stderr=stream
            )
        deadline = time.monotonic() + WAIT_S
        while b" running\n" not in log.read_bytes():
            running = self._process.poll() is None and time.monotonic() < deadline
            assert running, log.read_text()
            time.sleep(0.02)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            self._process.stop()

    def _configuration(self) -> str:
        text = (DEPLOY / "mosquitto.conf").read_text()
        if self.plugin:
            text = re.sub(r"(?m)^acl_file", "#acl_file", text)
            text = re.sub(r"(?m)^#(plugin)", r"\1", text)
            (plugin,) = Path("/usr/lib").glob("**/mosquitto_dynamic_security.so")
            text = re.sub(r"(?m)^plugin /\S+", f"plugin {plugin}", text)
        for listener, port in (("8883", self.by_password), ("8884", self.by_certificate)):
            text, found = re.subn(
                f"(?m)^listener {listener}$", f"listener {port} {self.host}", text
            )
            assert found == 1
        # The files belong to root.
        return text.replace("/etc/mosquitto/colotrace", str(self.folder)) + "user root\n"

    @staticmethod
    def password(user: str) -> str:
        """A password with characters that must be encoded in a URL."""
        return f"{user}/p@ss"

    def pair(self, user: str) -> Pair:
        """A certificate for the user; an agent's is for its colo, too."""
        if user not in self._pairs:
            self._pairs[user] = self.authority.issue(
                user, also=AGENTS.get(user, self.host), client=user in AGENTS
            )
        return self._pairs[user]

    def url(self, user: str | None) -> str:
        """For `--mqtt`; without a user, by certificate."""
        if user is None:
            return f"mqtts://{self.host}:{self.by_certificate}"
        quoted = self.password(user).replace("/", "%2F").replace("@", "%40")
        return f"mqtts://{user}:{quoted}@{self.host}:{self.by_password}"


class Visitor:
    """A client that returns the broker's answers."""

    def __init__(
        self,
        broker: Guarded,
        user: str | None,
        *,
        password: str | None = None,
        pair: Pair | None = None,
        will: str | None = None,
    ) -> None:
        """Connect with the user's password, or with the given password or certificate."""
        self.refused = ""
        self._answers: queue.SimpleQueue[list[ReasonCode]] = queue.SimpleQueue()
        self._topics: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        context = ssl.create_default_context(cafile=broker.authority.path)
        port = broker.by_password
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
            port = broker.by_certificate
        elif user is not None:
            self._client.username_pw_set(user, password or broker.password(user))
        self._client.tls_set_context(context)
        if will is not None:
            self._client.will_set(will, b"", qos=1, retain=True)
        self._client.on_connect = lambda *given: self._answers.put([given[3]])
        self._client.on_connect_fail = lambda *_: self._answers.put([])
        self._client.on_disconnect = lambda *_: self._answers.put([])
        self._client.on_subscribe = lambda *given: self._answers.put(given[3])
        self._client.on_publish = lambda *given: self._answers.put([given[3]])
        self._client.on_message = lambda _client, _data, message: self._topics.put(message.topic)
        self._client.connect(broker.host, port)
        self._client.loop_start()
        answer = self._answers.get(timeout=WAIT_S)
        if not answer or answer[0].is_failure:
            self.refused = str(answer[0]) if answer else "cut off"
            self._client.loop_stop()

    def __enter__(self) -> Self:
        assert not self.refused
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def vanish(self) -> None:
        """Cut the connection, so that the broker publishes the will."""
        sock = self._client.socket()
        assert sock is not None
        self._client.loop_stop()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def publish(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int:
        """The broker's reason code."""
        self._client.publish(topic, payload, qos=1, retain=retain)
        (code,) = self._answers.get(timeout=WAIT_S)
        return code.value

    def subscribe(self, topic: str) -> int:
        """The broker's reason code."""
        self._client.subscribe(topic)
        (code,) = self._answers.get(timeout=WAIT_S)
        return code.value

    def heard(self, *, until: str) -> list[str]:
        """The topics of delivered messages, up to the given one."""
        topics: list[str] = []
        while until not in topics:
            topics.append(self._topics.get(timeout=WAIT_S))
        return topics[:-1]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(each, marks=pytest.mark.xdist_group(f"broker by {each}"))
        for each in ("acl", "plugin")
    ],
)
def broker(
    lab: Lab, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with Guarded(lab, folder, plugin=request.param == "plugin") as running:
        yield running


def _access(*words: str) -> str:
    argv = [sys.executable, str(DEPLOY / "access"), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_example_acl_is_the_output_of_the_script() -> None:
    """For the agents of the example."""
    agents = [f"{colo}/{agent}" for agent, colo in AGENTS.items()]
    assert (DEPLOY / "acl").read_text() == _access("acl", *agents)


@pytest.mark.parametrize(
    ("user", "password"),
    [(None, None), ("nobody", "nothing"), ("den01-a", "wrong"), ("coordinator", "den01-a/p@ss")],
)
def test_unknown_users_are_refused(broker: Guarded, user: str | None, password: str | None) -> None:
    """Without a user, as an unknown user, with a wrong password."""
    assert Visitor(broker, user, password=password).refused == "Not authorized"


def test_certificate_of_another_ca_is_refused(broker: Guarded, tmp_path: Path) -> None:
    """With any name; and no certificate, at the port that requires one."""
    forged = Authority(tmp_path).issue("den01-a", also="den01", client=True)
    assert Visitor(broker, None, pair=forged).refused == "cut off"
    context = ssl.create_default_context(cafile=broker.authority.path)
    address = (broker.host, broker.by_certificate)
    with (
        socket.create_connection(address, timeout=WAIT_S) as bare,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(bare, server_hostname=broker.host) as tls,
    ):
        tls.recv(1)


@pytest.mark.parametrize("tls", [False, True])
async def test_programs_report_a_closed_connection_at_once(broker: Guarded, *, tls: bool) -> None:
    """Without TLS at a TLS port, and without a certificate where one is required."""
    url = broker.url(None) if tls else broker.url("den01-a").replace("mqtts", "mqtt")
    context = ssl.create_default_context(cafile=broker.authority.path) if tls else None
    began = time.monotonic()
    with pytest.raises(MqttError, match="only one side uses TLS"):
        async with connection(broker_of(url), tls=context, identifier="x", clock=RunningClock()):
            pass
    assert time.monotonic() - began < 1.5  # the timeout of an answer is 2 s


def test_certificate_of_an_unlisted_user_has_no_rights(broker: Guarded) -> None:
    """A certificate of the right CA whose user is not in the ACL: it may neither publish nor
    receive."""
    pair = broker.authority.issue("fra01-a", also="fra01", client=True)
    with Visitor(broker, None, pair=pair) as visitor:
        assert visitor.publish(f"{TREE}/agents/fra01/fra01-a/{BOOT}") == NOT_AUTHORIZED
        assert visitor.publish(f"{TREE}/jobs/den01") == NOT_AUTHORIZED


@pytest.mark.parametrize("by_certificate", [False, True])
def test_agent_may_publish_only_its_own_presence(broker: Guarded, *, by_certificate: bool) -> None:
    """No presence of other agents of its colo or of other colos, no jobs, no cancels, no other
    topic."""
    pair = broker.pair("den01-a") if by_certificate else None
    refused = [
        f"{TREE}/agents/den01/den01-b/{BOOT}",
        f"{TREE}/agents/sin01/den01-a/{BOOT}",
        f"{TREE}/agents/sin01/sin01-a/{BOOT}",
        f"{TREE}/agents/den01/den01-a",
        f"{TREE}/agents/den01/den01-a/{BOOT}/more",
        f"{TREE}/jobs/den01",
        f"{TREE}/jobs/den01/den01-a/{BOOT}",
        f"{TREE}/jobs/sin01",
        f"{TREE}/cancels/den01",
        f"{TREE}/cancels/sin01",
        "elsewhere",
    ]
    own = f"{TREE}/agents/den01/den01-a/{BOOT}"
    with Visitor(broker, "coordinator") as watching, Visitor(broker, "den01-a", pair=pair) as agent:
        assert watching.subscribe(f"{TREE}/agents/+/+/+") == 0
        codes = {topic: agent.publish(topic) for topic in refused}
        assert set(codes.values()) == {NOT_AUTHORIZED}, codes
        assert agent.publish(own) != NOT_AUTHORIZED
        assert watching.heard(until=own) == []


def test_coordinator_may_not_publish_presence(broker: Guarded) -> None:
    """It may publish only jobs and cancels."""
    with Visitor(broker, "coordinator") as coordinator:
        assert coordinator.publish(f"{TREE}/agents/den01/den01-a/{BOOT}") == NOT_AUTHORIZED
        assert coordinator.publish("elsewhere") == NOT_AUTHORIZED
        for topic in (f"{TREE}/jobs/den01", f"{TREE}/jobs/den01/x/{BOOT}", f"{TREE}/cancels/den01"):
            assert coordinator.publish(topic) != NOT_AUTHORIZED


@pytest.mark.parametrize("user", ["den01-b", "sin01-a"])
def test_agent_receives_nothing_of_other_agents(broker: Guarded, user: str) -> None:
    """With any subscription; retained presences are not delivered, either."""
    others, colo = f"{TREE}/agents/den01/den01-a/{BOOT}", AGENTS[user]
    mark = f"{TREE}/jobs/{colo}/{user}/{BOOT}"
    with (
        Visitor(broker, "den01-a") as agent,
        Visitor(broker, "coordinator") as coordinator,
        Visitor(broker, user) as curious,
    ):
        agent.publish(others, retain=True)
        asked = ["#", "+/+/+/+/+/+", f"{TREE}/#", f"{TREE}/agents/+/+/+", others, f"{TREE}/jobs/#"]
        if colo != "den01":
            asked += [f"{TREE}/jobs/den01", f"{TREE}/cancels/den01"]
        codes = {topic: curious.subscribe(topic) for topic in asked}
        # With an ACL file a subscription succeeds, but nothing is delivered.
        assert set(codes.values()) == {NOT_AUTHORIZED if broker.plugin else 0}, codes
        assert curious.subscribe(mark) == 0
        agent.publish(others, b"again", retain=True)
        own_colo = [f"{TREE}/jobs/den01", f"{TREE}/cancels/den01"] if colo != "den01" else []
        for topic in (f"{TREE}/jobs/den01/den01-a/{BOOT}", *own_colo, mark):
            coordinator.publish(topic)
        assert curious.heard(until=mark) == []
        agent.publish(others, b"", retain=True)


def test_agent_receives_its_own_messages(broker: Guarded) -> None:
    """Its colo's jobs by the shared subscription, its own jobs, cancels, and presences with its
    id."""
    own = f"{TREE}/agents/den01/den01-b/{BOOT}"
    topics = [f"{TREE}/jobs/den01", f"{TREE}/jobs/den01/den01-b/{BOOT}", f"{TREE}/cancels/den01"]
    with Visitor(broker, "den01-b") as agent, Visitor(broker, "coordinator") as coordinator:
        shared = f"$share/den01/{topics[0]}"
        asked = [shared, *topics[1:], f"{TREE}/agents/den01/den01-b/+"]
        assert [agent.subscribe(topic) for topic in asked] == [0, 0, 0, 0]
        for topic in topics:
            coordinator.publish(topic)
        agent.publish(own)
        assert agent.heard(until=own) == topics


def test_foreign_subscriber_of_a_shared_subscription(broker: Guarded) -> None:
    """Another colo's agent in this colo's shared subscription reads nothing. With an ACL file the
    broker still assigns jobs to it, as docs/scaling.md says; with the plugin it does not."""
    jobs = f"{TREE}/jobs/den01"
    mark = f"{TREE}/cancels/den01"
    with (
        Visitor(broker, "den01-a") as agent,
        Visitor(broker, "sin01-a") as thief,
        Visitor(broker, "coordinator") as coordinator,
    ):
        assert agent.subscribe(f"$share/den01/{jobs}") == agent.subscribe(mark) == 0
        assert thief.subscribe(f"$share/den01/{jobs}") == (NOT_AUTHORIZED if broker.plugin else 0)
        assert thief.subscribe(f"{TREE}/cancels/sin01") == 0
        for _ in range(10):
            coordinator.publish(jobs)
        coordinator.publish(mark)
        coordinator.publish(f"{TREE}/cancels/sin01")
        assert agent.heard(until=mark) == [jobs] * (10 if broker.plugin else 5)
        assert thief.heard(until=f"{TREE}/cancels/sin01") == []


def test_will_for_another_presence_has_no_effect(broker: Guarded) -> None:
    """It does not delete the presence when its client disappears."""
    others, own = (f"{TREE}/agents/den01/{agent}/{BOOT}" for agent in ("den01-a", "den01-b"))
    with Visitor(broker, "den01-a") as agent, Visitor(broker, "coordinator") as watching:
        agent.publish(others, b"here", retain=True)
        evil = Visitor(broker, "den01-b", will=others)
        if not evil.refused:
            evil.vanish()
        assert watching.subscribe(f"{TREE}/agents/+/+/+") == 0
        with Visitor(broker, "den01-b") as again:
            again.publish(own)
        assert watching.heard(until=own) == [others]  # what is retained, once
        agent.publish(others, b"", retain=True)


# The programs


class Programs:
    """A coordinator and agents that require certificates."""

    def __init__(self, lab: Lab, broker: Guarded, folder: Path) -> None:
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
                "--agent-ca", self.broker.authority.path,
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
        deadline = time.monotonic() + 2 * WAIT_S
        while time.monotonic() < deadline:
            for line in self.log(name).read_text().splitlines():
                with contextlib.suppress(ValueError):
                    said = json.loads(line)
                    if isinstance(said, dict) and wanted(said):
                        return said
            time.sleep(0.02)
        raise AssertionError(self.log(name).read_text())

    def traced(self) -> dict[str, Any]:
        """The rows of all colos for one target, once all agents are attached."""
        context = ssl.create_default_context(cafile=self.broker.authority.path)
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(verify=context, headers=headers, timeout=30) as client:
            deadline = time.monotonic() + WAIT_S
            while True:
                colos = client.get(f"{self.url}/colos").json()["result"]
                if {colo["name"]: colo["agents"] for colo in colos} == {"den01": 2, "sin01": 1}:
                    break
                assert time.monotonic() < deadline, (colos, self.log("den01-a").read_text())
                time.sleep(0.02)
            answer: dict[str, Any] = client.post(
                self.url, json={"targets": [self.lab.address("web"), self.lab.address("far")]}
            ).json()
            return answer


@pytest.mark.parametrize("by_certificate", [False, True])
def test_programs_work_with_these_rights(
    lab: Lab, broker: Guarded, tmp_path: Path, *, by_certificate: bool
) -> None:
    """TLS everywhere: a coordinator and three agents of two colos trace without a message."""
    pair = broker.pair("coordinator")
    shown = ("--mqtt-cert", pair.certificate, "--mqtt-key", pair.key) if by_certificate else ()
    with Programs(lab, broker, tmp_path) as programs:
        programs.coordinator(broker.url(None if by_certificate else "coordinator"), *shown)
        for agent in AGENTS:
            programs.agent(agent, broker.url(None if by_certificate else agent))
        answer = programs.traced()
        assert answer["messages"] == []
        rows = [row for target in answer["result"] for row in target["colos"]]
        assert [(row["colo"]["name"], row["error"]) for row in rows] == [
            ("den01", ""),
            ("sin01", ""),
        ] * 2


def test_programs_report_why_the_broker_refuses_them(
    lab: Lab, broker: Guarded, tmp_path: Path
) -> None:
    """A broker certificate of another CA, a wrong password, another agent's user."""
    other = Authority(tmp_path / "other").path
    with Programs(lab, broker, tmp_path) as programs:
        programs.coordinator(broker.url("coordinator"), "--mqtt-ca", other)
        programs.agent("den01-a", broker.url("den01-a"), "--mqtt-ca", other)
        programs.agent("den01-b", broker.url("den01-b").replace("p%40ss", "wrong"))
        programs.agent("sin01-a", broker.url("den01-a"))

        def said(name: str, *words: str) -> None:
            programs.wait(name, lambda line: all(word in json.dumps(line) for word in words))

        said("coordinator", "broker_unreachable", "certificate verify failed")
        said("den01-a", "certificate verify failed")
        said("den01-b", "Not authorized")
        # Another agent's user.
        said("sin01-a", "it does not let us", "colotrace/v1/agents/sin01/sin01-a/")


def _free_ports(host: str) -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind((host, 0))
        other.bind((host, 0))
        return one.getsockname()[1], other.getsockname()[1]
