"""What the command line says of the broker, checked as far as that goes without reaching it."""

import ssl
from dataclasses import dataclass

from colotrace_proto.bus import Broker, BrokerUrlError, broker_of
from colotrace_proto.identifiers import is_address
from colotrace_proto.mqtt import BrokerTls, TlsError

from colotrace_coordinator.errors import SetupError

_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - looked for, not listened on


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The broker where agents are met, and HOST:PORT where they reach our gRPC."""

    broker: Broker
    tls: ssl.SSLContext | None
    advertise: str
    """"" leaves it to where gRPC listens."""


def choose_broker(
    url: str, *, insecure: bool, files: BrokerTls, grpc: str, advertise: str | None
) -> BrokerSettings:
    """The broker.

    Raises:
        SetupError: the URL, a file or the address to reply to cannot be used.
    """
    if files.key and not files.certificate:
        raise SetupError("--mqtt-key: give --mqtt-cert, too")
    try:
        broker = broker_of(url)
        tls = files.context() if broker.tls else None
    except BrokerUrlError as error:
        raise SetupError(f"--mqtt: {error}; give mqtts://[USER:PASSWORD@]HOST[:PORT]") from error
    except TlsError as error:
        raise SetupError(f"--mqtt-ca, --mqtt-cert, --mqtt-key: {error}") from error
    if tls is None and not insecure:
        raise SetupError(
            f"--mqtt {broker}: passwords and jobs could be read on the way; give mqtts://, or "
            "--insecure on a network that you trust"
        )
    if tls is None and (files.authority or files.certificate):
        raise SetupError(f"--mqtt {broker}: certificates are of use with mqtts:// only")
    if not advertise and grpc.rpartition(":")[0].strip("[]") in _EVERYWHERE:
        raise SetupError(
            f"--grpc {grpc}: with --mqtt, agents must be told one address; give --advertise "
            "HOST:PORT as they reach this coordinator"
        )
    if advertise and not is_address(advertise):
        raise SetupError(f"--advertise {advertise}: give HOST:PORT, an IPv6 address in brackets")
    return BrokerSettings(broker=broker, tls=tls, advertise=advertise or "")
