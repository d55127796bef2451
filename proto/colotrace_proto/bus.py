"""Where on an MQTT 5 broker agents and coordinators meet.

    colotrace/v1/agents/COLO/AGENT/BOOT   an agent's process is there (retained); empty: it is not
    colotrace/v1/jobs/COLO                a job for one of the colo's agents, whoever it falls to
    colotrace/v1/jobs/COLO/AGENT/BOOT     a job for that process
    colotrace/v1/cancels/COLO             a job that is taken back, for all of the colo's agents

COLO is its full name, AGENT the agent's id, BOOT its boot id in hexadecimal digits. Agents
subscribe to `shared_jobs`, so that the broker gives each job of a colo to one of them.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from .hostnames import to_ascii
from .identifiers import is_colo_name, is_identifier
from .messages import AgentId, ColoName

_ROOT = "colotrace/v1"
ALL_AGENTS = f"{_ROOT}/agents/+/+/+"
"""What coordinators subscribe to."""

KEEPALIVE_S = 4
"""How often a client that is silent lets the broker hear of it. After one and a half times that the
broker says that an agent is gone (MQTT 5 section 3.1.2.10), as soon as it looks: Mosquitto 2.0 does
so each 5 to 6 s, so 6 to 12 s after the agent's last word."""
RENEWAL_S = 20
"""How often an agent renews its presence."""
PRESENCE_EXPIRY_S = 60
"""After that, a presence that was not renewed is gone, whatever the broker was told."""

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_BOOT = re.compile(r"[0-9a-f]{32}")


class BrokerUrlError(ValueError):
    """The URL names no broker, and why in words."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and who we are to it. `str` leaves the password out."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def broker_of(url: str) -> Broker:
    """The broker of `mqtt://[USER:PASSWORD@]HOST[:PORT]`; `mqtts` is over TLS.

    Raises:
        BrokerUrlError: it is none. What is said does not hold the password.
    """
    # What the library says of a URL that it cannot read repeats parts of it, passwords too.
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host and ":" not in host and not _is_ipv4(host):
            host = to_ascii(host)
    except ValueError:
        raise BrokerUrlError(
            "its host or port cannot be read; in a password, write / as %2F, @ as %40, # as %23"
        ) from None
    if parts.scheme not in _PORTS:
        raise BrokerUrlError("it does not begin with mqtt:// or mqtts://")
    if not host or port == 0:
        raise BrokerUrlError("it names no host, or port 0")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise BrokerUrlError("there is more behind the host and port")
    username, password = (
        unquote(part) if part else None for part in (parts.username, parts.password)
    )
    if password and not username:
        raise BrokerUrlError("it has a password, but no user")
    return Broker(host, port or _PORTS[parts.scheme], parts.scheme == "mqtts", username, password)


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Process:
    """One process of one agent, as its topics name it."""

    colo: ColoName
    agent_id: AgentId
    boot_id: bytes

    @property
    def presence(self) -> str:
        """Where it says that it is there."""
        return f"{_ROOT}/agents/{self._place}"

    @property
    def namesakes(self) -> str:
        """The presence of all processes with its id, itself included."""
        return f"{_ROOT}/agents/{self.colo}/{self.agent_id}/+"

    @property
    def jobs(self) -> str:
        """Where jobs for it alone are."""
        return f"{_ROOT}/jobs/{self._place}"

    @property
    def _place(self) -> str:
        return f"{self.colo}/{self.agent_id}/{self.boot_id.hex()}"


def process_of(topic: str) -> Process | None:
    """Whose presence has that topic; None where it is nobody's."""
    parts = topic.split("/")
    if parts[:-3] != [*_ROOT.split("/"), "agents"]:
        return None
    colo, agent_id, boot = parts[-3:]
    if not (is_colo_name(colo) and is_identifier(agent_id) and _BOOT.fullmatch(boot)):
        return None
    return Process(ColoName(colo), AgentId(agent_id), bytes.fromhex(boot))


def jobs(colo: ColoName) -> str:
    """Where jobs for one of the colo's agents are published."""
    return f"{_ROOT}/jobs/{colo}"


def shared_jobs(colo: ColoName) -> str:
    """How agents subscribe to these, so that each job goes to one of them."""
    return f"$share/{colo}/{jobs(colo)}"


def cancels(colo: ColoName) -> str:
    """Where jobs are taken back."""
    return f"{_ROOT}/cancels/{colo}"
