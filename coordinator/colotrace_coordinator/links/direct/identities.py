"""Who an agent is, by its certificate."""

from typing import Protocol

import grpc
from colotrace_proto.messages import Hello
from msgspec.structs import replace

from colotrace_coordinator.authority.identity import IdentityId
from colotrace_coordinator.errors import StoreError

from .stream import StreamClosedError
from .tls import AgentCertificate, vouches

REVOKED = (
    "this agent was revoked; to use this host again, make a join token with "
    "colotrace-coordinator agent enroll and join anew"
)


class Enrolled(Protocol):
    """What is known of enrolled agents."""

    async def is_valid(self, identity: IdentityId) -> bool:
        """Whether the agent is enrolled and not revoked.

        Raises:
            StoreError: that cannot be told now.
        """

    def ends_at(self, identity: IdentityId) -> float:
        """When the agent's newest certificate ends, in seconds since 1970; 0 if it is unknown or
        revoked."""


async def identified(
    hello: Hello, certificate: AgentCertificate | None, enrolled: Enrolled | None
) -> Hello:
    """The first message, with the colo and the id of an enrolled agent's certificate.

    Raises:
        StreamClosedError: the certificate is for another colo or for no agent, or the agent is
            revoked.
    """
    if certificate is None:
        return hello
    if enrolled is None:
        if not vouches(certificate.names, hello):
            detail = f"the certificate does not name the colo {hello.colo}"
            raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, detail)
        return hello
    if certificate.identity is None:
        detail = "the certificate does not name an enrolled agent; join anew"
        raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, detail)
    try:
        valid = await enrolled.is_valid(certificate.identity.id)
    except StoreError as error:
        detail = "the coordinator's database does not answer; it knows which agents are revoked"
        raise StreamClosedError(grpc.StatusCode.UNAVAILABLE, detail) from error
    if not valid:
        raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, REVOKED)
    identity = certificate.identity
    return replace(hello, colo=identity.colo, agent_id=identity.agent_id)
