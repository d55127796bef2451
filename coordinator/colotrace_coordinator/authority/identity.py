"""The identity in an enrolled agent's certificate: a URI among its alternative names.

A certificate of a CA that the operator keeps has no such URI.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, NewType

from colotrace_proto.identifiers import is_colo_name, is_identifier
from colotrace_proto.messages import AgentId, ColoName

IdentityId = NewType("IdentityId", str)
"""16 hexadecimal digits."""


class EnrolledName(NamedTuple):
    """What an enrolled agent is called now. Operators can change it; its certificate may still have
    the former name."""

    colo: ColoName
    agent_id: AgentId
    city: str


_SCHEME = "colotrace:"
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """An enrolled agent."""

    id: IdentityId
    colo: ColoName
    agent_id: AgentId

    @property
    def name(self) -> str:
        """COLO/AGENT-ID."""
        return f"{self.colo}/{self.agent_id}"

    @property
    def uri(self) -> str:
        """The form in a certificate."""
        return f"{_SCHEME}{self.colo}/{self.agent_id}/{self.id}"


def identity_of(uris: Iterable[str]) -> AgentIdentity | None:
    """The identity among the URIs of a certificate; None if it has none.

    Raises:
        ValueError: there are several, or one of another form.
    """
    found = [uri.removeprefix(_SCHEME) for uri in uris if uri.startswith(_SCHEME)]
    if not found:
        return None
    parts = found[0].split("/")
    if len(found) > 1 or len(parts) != 3:
        raise ValueError("the certificate names its agent in an unknown form")
    colo, agent_id, identity = parts
    if not is_colo_name(colo) or not is_identifier(agent_id) or not _ID.fullmatch(identity):
        raise ValueError("the certificate names its agent in an unknown form")
    return AgentIdentity(IdentityId(identity), ColoName(colo), AgentId(agent_id))
