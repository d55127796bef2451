"""A Mosquitto with the access control of deploy/mqtt, and clients that return its answers.

Only ports and paths of the files are changed.
"""

import contextlib
import queue
import re
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Self

from lab import Lab, Process
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from fleet.authority import Authority, Pair
from fleet.broker import free_port, wait_until_ready

DEPLOY = Path(__file__).parents[2] / "deploy" / "mqtt"
BIN = Path(sys.executable).parent
WAIT_S = 10.0
USERS = ("coordinator", "den01-a", "den01-b", "sin01-a")  # as in deploy/mqtt/acl
AGENTS = {"den01-a": "den01", "den01-b": "den01", "sin01-a": "sin01"}
NOT_AUTHORIZED = 135
BOOT = "0123456789abcdef" * 2
TREE = "colotrace/v1"


class GuardedBroker:
    """The broker: by password at one port, by certificate at another, both over TLS."""

    def __init__(self, lab: Lab, folder: Path, *, plugin: bool) -> None:
        self.plugin = plugin
        self.host = lab.management_address
        self.folder = folder
        self.authority = Authority(folder)
        self.by_password, self.by_certificate = free_port(self.host), free_port(self.host)
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
        (self.folder / "roles.json").write_text(access("roles", *agents))
        file = self.folder / "mosquitto.conf"
        file.write_text(self._configuration())
        log = self.folder / "broker.log"
        with log.open("wb") as stream:
            self._process = self._lab.spawn(
                None, ["mosquitto", "-c", str(file)], stdout=stream, stderr=stream
            )
        wait_until_ready(self._process, log)
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
        broker: GuardedBroker,
        user: str | None,
        *,
        password: str | None = None,
        pair: Pair | None = None,
        will: str | None = None,
    ) -> None:
        """Connect with the user's password, or with the given password or certificate."""
        context = ssl.create_default_context(cafile=broker.authority.path)
        port, login = broker.by_password, None
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
            port = broker.by_certificate
        elif user is not None:
            login = user, password or broker.password(user)
        self.connect(broker.host, port, context, login=login, will=will)

    @classmethod
    def at(cls, host: str, port: int, context: ssl.SSLContext) -> Self:
        """Connect to any broker, with the certificate of the context."""
        visitor = cls.__new__(cls)
        visitor.connect(host, port, context)
        return visitor

    def connect(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext,
        *,
        login: tuple[str, str] | None = None,
        will: str | None = None,
    ) -> None:
        """Connect, once. `login`: user and password."""
        self.refused = ""
        self._answers: queue.SimpleQueue[list[ReasonCode]] = queue.SimpleQueue()
        self._topics: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if login is not None:
            self._client.username_pw_set(*login)
        self._client.tls_set_context(context)
        if will is not None:
            self._client.will_set(will, b"", qos=1, retain=True)
        self._client.on_connect = lambda *given: self._answers.put([given[3]])
        self._client.on_connect_fail = lambda *_: self._answers.put([])
        self._client.on_disconnect = lambda *_: self._answers.put([])
        self._client.on_subscribe = lambda *given: self._answers.put(given[3])
        self._client.on_publish = lambda *given: self._answers.put([given[3]])
        self._client.on_message = lambda _client, _data, message: self._topics.put(message.topic)
        self._client.connect(host, port)
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


def access(*words: str) -> str:
    """The output of deploy/mqtt/access."""
    argv = [sys.executable, str(DEPLOY / "access"), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
