"""The peer of a stream: its address, or its certificate."""

from urllib.parse import unquote

import grpc

from colotrace_coordinator.shares import holder_of

from .stream import StreamClosedError
from .tls import AgentCertificate, CertificateError, agent_certificate


def address_of(peer: str) -> str:
    """The holder in gRPC's name of a peer (`ipv4:192.0.2.1:80`): an IPv4 address, or the /64 of an
    IPv6 address. Any other text is returned unchanged."""
    place = unquote(peer).partition(":")[2]
    return holder_of(place.rpartition(":")[0].strip("[]")) or peer


def certificate_of(shown: bytes) -> AgentCertificate:
    """The agent's certificate, from PEM.

    Raises:
        StreamClosedError: it is not accepted for an agent.
    """
    try:
        return agent_certificate(shown)
    except CertificateError as error:
        raise StreamClosedError(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error
