"""What the checks need to know of the coordinator."""

import ssl
from dataclasses import dataclass

from colotrace_proto.bus import Broker

from colotrace_agent.enrolment.state import Settings
from colotrace_agent.link.tls import Tls


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """`coordinator` is HOST:PORT, "" if the agent takes jobs at a broker only. `tls` None: no
    encryption. `state` is set for an agent that has joined."""

    coordinator: str
    tls: Tls | None
    broker: Broker | None = None
    broker_tls: ssl.SSLContext | None = None
    state: Settings | None = None

    @property
    def host(self) -> str:
        """The coordinator's host, without brackets."""
        return self.coordinator.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.coordinator.rpartition(":")[2])
