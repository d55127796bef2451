"""Who is at the other end of a stream: its address, or what its certificate says."""

from urllib.parse import unquote

import grpc

from colotrace_coordinator.shares import holder_of

from .stream import StreamClosedError
from .tls import AgentCertificate, CertificateError, agent_certificate


def address_of(peer: str) -> str:
    """The address in what gRPC calls a peer (`ipv4:192.0.2.1:80`): of IPv4 whole, of IPv6 the
    network of 64 bits, which is one holder's; anything else as it is."""
    place = unquote(peer).partition(":")[2]
    return holder_of(place.rpartition(":")[0].strip("[]")) or peer


def certificate_of(shown: bytes) -> AgentCertificate:
    """The certificate that the agent has shown, PEM.

    Raises:
        StreamClosedError: it is not good for an agent.
    """
    try:
        return agent_certificate(shown)
    except CertificateError as error:
        raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error
