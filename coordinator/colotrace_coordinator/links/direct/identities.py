"""Who an agent is, by its certificate."""

from typing import Protocol

import grpc
from colotrace_proto.enrolment import JOIN_ANEW
from colotrace_proto.messages import FromAgent, Hello
from msgspec.structs import replace

from colotrace_coordinator.authority.identity import EnrolledName, IdentityId
from colotrace_coordinator.errors import StoreError
from colotrace_coordinator.fleet.agents import AgentName

from .stream import StreamClosedError
from .tls import AgentCertificate, vouches

REVOKED = f"this agent was revoked; to use this host again, {JOIN_ANEW}"
FORMER_NAME = "its certificate has a former name of this agent; restart the agent, which renews it"


class Enrolled(Protocol):
    """What is known of enrolled agents."""

    async def current(self, identity: IdentityId) -> EnrolledName | None:
        """What the agent is called, if it is enrolled and not revoked, and else None.

        Raises:
            StoreError: that cannot be told now.
        """

    async def holds(self, identity: IdentityId, name: AgentName) -> bool:
        """Whether the agent may attach under the name in its certificate.

        Raises:
            StoreError: that cannot be told now.
        """

    def ends_at(self, identity: IdentityId) -> float:
        """When the agent's newest certificate ends, in seconds since 1970; 0 if it is unknown or
        revoked."""


async def identified(
    first: FromAgent | None,
    certificate: AgentCertificate | None,
    enrolled: Enrolled | None,
    *,
    renames: bool = True,
) -> Hello:
    """The first message, with the name that an enrolled agent has now; without `renames`, with that
    in its certificate.

    Another message than Hello is refused after the identity, so that an agent's check gets to know
    whether it could attach.

    Raises:
        StreamClosedError: the certificate is for another colo or for no agent, or the agent is
            revoked, or has a certificate for a former name without `renames`; or the message is
            not Hello.
    """
    if certificate is None:
        return _hello(first)
    if enrolled is None:
        hello = _hello(first)
        if not vouches(certificate.names, hello):
            detail = f"the certificate does not name the colo {hello.colo}"
            raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, detail)
        return hello
    if certificate.identity is None:
        detail = f"the certificate does not name an enrolled agent; {JOIN_ANEW}"
        raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, detail)
    identity = certificate.identity
    certified = identity.colo, identity.agent_id
    try:
        name = await enrolled.current(identity.id)
        former = not renames and not await enrolled.holds(identity.id, certified)
    except StoreError as error:
        detail = "the coordinator's database does not answer; it knows which agents are revoked"
        raise StreamClosedError(grpc.StatusCode.UNAVAILABLE, detail) from error
    if name is None:
        raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, REVOKED)
    if former:
        raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, FORMER_NAME)
    if renames:
        return replace(_hello(first), **name._asdict())
    return replace(_hello(first), colo=identity.colo, agent_id=identity.agent_id)


def _hello(first: FromAgent | None) -> Hello:
    if not isinstance(first, Hello):
        detail = "the first message is not Hello"
        raise StreamClosedError(grpc.StatusCode.FAILED_PRECONDITION, detail)
    return first
