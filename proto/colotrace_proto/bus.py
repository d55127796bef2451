"""The topics and timings that agents and coordinators use at an MQTT 5 broker.

    colotrace/v1/agents/COLO/AGENT/BOOT   presence of an agent's process (retained); empty: gone
    colotrace/v1/jobs/COLO                a job for one of the colo's agents
    colotrace/v1/jobs/COLO/AGENT/BOOT     a job for that process
    colotrace/v1/cancels/COLO             a cancelled job, for all of the colo's agents
    colotrace/v1/coordinators             what a coordinator uses of the common limits
    colotrace/v1/coordinators/all         which coordinator runs a measurement: asked of all
    colotrace/v1/coordinators/PROCESS     measurements: messages for one coordinator

COLO is the full name, AGENT the agent's id, BOOT its boot id in hexadecimal digits, PROCESS the
random identity of a coordinator's process, in hexadecimal digits, too. Agents
subscribe to `shared_jobs`, so that the broker gives each job of a colo to one of them.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from .hostnames import to_ascii
from .identifiers import is_colo_name, is_identifier, is_ip
from .messages import AgentId, ColoName

_ROOT = "colotrace/v1"
_AGENTS = f"{_ROOT}/agents"
ALL_AGENTS = f"{_AGENTS}/+/+/+"
"""The subscription of coordinators to the presence of agents."""
COORDINATORS = f"{_ROOT}/coordinators"
"""Topic of reports between coordinators; their content is the coordinators' own matter."""
ALL_COORDINATORS = f"{COORDINATORS}/all"
"""Topic of questions to all coordinators about measurements that run."""

KEEPALIVE_S = 4
"""MQTT keepalive. After 1.5 times this without a packet, the broker publishes the last will (MQTT 5
section 3.1.2.10). Mosquitto 2.0 checks every 5 to 6 s, so it takes 6 to 12 s."""
RENEWAL_S = 20
"""Interval at which an agent renews its presence."""
PRESENCE_EXPIRY_S = 60
"""Message expiry of a presence."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_BOOT = re.compile(r"[0-9a-f]{32}")


class BrokerUrlError(ValueError):
    """The broker's URL is invalid; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Address and credentials for a broker. `str` omits the credentials."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def broker_of(url: str) -> Broker:
    """Parse `mqtt://[USER:PASSWORD@]HOST[:PORT]`; `mqtts` is over TLS.

    Raises:
        BrokerUrlError: the URL is invalid. The text does not contain the password.
    """
    # The library's own error text may contain the password.
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host and ":" not in host and not is_ip(host, 4):
            host = to_ascii(host)
    except ValueError:
        raise BrokerUrlError(
            "its host or port is invalid; in a password, write / as %2F, @ as %40, # as %23"
        ) from None
    if parts.scheme not in _PORTS:
        raise BrokerUrlError("it does not begin with mqtt:// or mqtts://")
    if not host or port == 0:
        raise BrokerUrlError("it names no host, or port 0")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise BrokerUrlError("it has a path, query or fragment after the host and port")
    username, password = (
        unquote(part) if part else None for part in (parts.username, parts.password)
    )
    if password and not username:
        raise BrokerUrlError("it has a password, but no user")
    return Broker(host, port or _PORTS[parts.scheme], parts.scheme == "mqtts", username, password)


@dataclass(frozen=True, slots=True)
class Process:
    """One process of an agent, with its topics."""

    colo: ColoName
    agent_id: AgentId
    boot_id: bytes

    @property
    def presence(self) -> str:
        """Topic of its presence."""
        return f"{_ROOT}/agents/{self._place}"

    @property
    def same_id_presences(self) -> str:
        """Subscription to the presence of all processes with its agent id, itself included."""
        return f"{_ROOT}/agents/{self.colo}/{self.agent_id}/+"

    @property
    def jobs(self) -> str:
        """Topic of jobs for this process alone."""
        return f"{_ROOT}/jobs/{self._place}"

    @property
    def _place(self) -> str:
        return f"{self.colo}/{self.agent_id}/{self.boot_id.hex()}"


def process_of(topic: str) -> Process | None:
    """The process of a presence topic; None if the topic is not one."""
    parts = topic.split("/")
    if parts[:-3] != [*_ROOT.split("/"), "agents"]:
        return None
    colo, agent_id, boot = parts[-3:]
    if not (is_colo_name(colo) and is_identifier(agent_id) and _BOOT.fullmatch(boot)):
        return None
    return Process(ColoName(colo), AgentId(agent_id), bytes.fromhex(boot))


def agents(colo: ColoName) -> str:
    """What the presences of the colo's agents begin with."""
    return f"{_AGENTS}/{colo}"


def jobs(colo: ColoName) -> str:
    """Topic of jobs for one of the colo's agents."""
    return f"{_ROOT}/jobs/{colo}"


def shared_jobs(colo: ColoName) -> str:
    """Shared subscription to the colo's jobs: each job goes to one of its subscribers."""
    return f"$share/{colo}/{jobs(colo)}"


def cancels(colo: ColoName) -> str:
    """Topic of cancelled jobs."""
    return f"{_ROOT}/cancels/{colo}"


def coordinator(process: str) -> str:
    """Topic of messages for one coordinator. `process` has 32 hexadecimal digits."""
    return f"{COORDINATORS}/{process}"
