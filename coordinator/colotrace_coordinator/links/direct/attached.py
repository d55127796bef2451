"""The streams of attached agents, and why the coordinator ends them: a certificate has expired, an
agent was revoked or renamed, or the coordinator stops."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import grpc

from colotrace_coordinator.authority.identity import EnrolledName, IdentityId
from colotrace_coordinator.fleet.agents import AgentKey

from .identities import REVOKED, Enrolled
from .intake import Origin
from .stream import AgentStream
from .tls import AgentCertificate

RENAMED = "this agent was renamed; attach again"


class Attached(NamedTuple):
    """An agent's stream, its origin, the certificate if it has one, and the name under which the
    agent is attached."""

    stream: AgentStream
    origin: Origin
    certificate: AgentCertificate | None
    name: EnrolledName

    @property
    def identity(self) -> IdentityId | None:
        """The enrolled agent's identity."""
        found = self.certificate.identity if self.certificate else None
        return found.id if found else None


class AttachedStreams:
    """The streams, by agent."""

    def __init__(
        self, enrolled: Enrolled | None, *, most: int, renames: bool, wall: Callable[[], float]
    ) -> None:
        """`renames`: an agent that was renamed attaches again under its new name; `most` of them
        are awaited. `wall` gives seconds of Unix time."""
        self.by_agent: dict[AgentKey, Attached] = {}
        self._enrolled = enrolled
        self._most = most
        self._renames = renames
        self._wall = wall
        # By agent and process: the former key of an agent whose stream ended by a new name.
        self._former: dict[tuple[IdentityId | None, bytes], AgentKey] = {}

    # For metrics, from any thread

    def messages_waiting(self) -> int:
        """Messages in the send queues of all streams."""
        return sum(each.stream.waiting for each in list(self.by_agent.values()))

    def blocked(self) -> int:
        """Streams that do not take what is sent to them."""
        return sum(each.stream.blocked for each in list(self.by_agent.values()))

    def first_end(self) -> float:
        """When the first certificate of an agent with a stream ends, in seconds of Unix time; NaN
        if none has a certificate."""
        ends = map(self._expires_at, list(self.by_agent.values()))
        return min((end for end in ends if end < math.inf), default=math.nan)

    # Ends

    def end_all(self, why: str) -> None:
        """End every stream with UNAVAILABLE, so that the agents attach again."""
        for each in self.by_agent.values():
            each.stream.end(grpc.StatusCode.UNAVAILABLE, why)

    def end_expired(self) -> None:
        """End the streams whose certificates have expired. The wall clock may have been set."""
        now = self._wall()
        for each in self.by_agent.values():
            if self._expires_at(each) <= now:
                each.stream.end(
                    grpc.StatusCode.UNAUTHENTICATED, "the agent's certificate has expired"
                )

    def end_revoked(self, identities: Collection[IdentityId]) -> None:
        """End the streams of these agents."""
        for each in self.by_agent.values():
            if each.identity in identities:
                each.stream.end(grpc.StatusCode.UNAUTHENTICATED, REVOKED)

    def end_renamed(self, names: Mapping[IdentityId, EnrolledName]) -> None:
        """End the streams of these agents, so that they attach again under their new names. Their
        jobs go on."""
        if not self._renames:
            return
        for key, each in self.by_agent.items():
            name = names.get(each.identity) if each.identity else None
            if name not in (None, each.name):
                self._former[each.identity, key.boot_id] = key
                each.stream.end(grpc.StatusCode.UNAVAILABLE, RENAMED)
        while len(self._former) > self._most:  # of agents that did not come back
            del self._former[next(iter(self._former))]

    def renamed_from(self, identity: IdentityId | None, boot_id: bytes) -> AgentKey | None:
        """The former key of a process that attaches again after it was renamed; once."""
        return self._former.pop((identity, boot_id), None)

    def is_revoked(self, identity: IdentityId | None) -> bool:
        """Whether it is the identity of an enrolled agent that is no longer known."""
        known = self._enrolled
        return identity is not None and known is not None and not known.ends_at(identity)

    def _expires_at(self, attached: Attached) -> float:
        """An agent that has renewed its certificate keeps its stream, so that no job is lost."""
        if attached.certificate is None:
            return math.inf
        expires_at = attached.certificate.expires_at
        if self._enrolled is not None and attached.identity is not None:
            return max(expires_at, self._enrolled.ends_at(attached.identity))
        return expires_at
