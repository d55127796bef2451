"""The broker options of the command line, checked without connecting."""

import ssl
from dataclasses import dataclass

from colotrace_proto.bus import Broker, BrokerUrlError, broker_of
from colotrace_proto.identifiers import is_address, with_ascii_host
from colotrace_proto.mqtt import BrokerOptionsError, BrokerTls, broker_from_options

from colotrace_coordinator.errors import SetupError

_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not listened on


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The broker, and the HOST:PORT at which agents reach this coordinator's gRPC. `for_agents`:
    the URL that enrolled agents get. `tls` has a client's certificate, and the CA of the broker's,
    if the flags name files of them."""

    broker: Broker
    tls: ssl.SSLContext | None
    advertise: str
    """If "", it is the address on which gRPC listens."""
    for_agents: str
    authority: bytes
    """The file of --mqtt-ca; empty if that was not given."""
    has_certificate: bool
    files: BrokerTls

    def context(self) -> ssl.SSLContext:
        """A new context like `tls`, of a broker with TLS.

        Raises:
            SetupError: a file cannot be used any more.
        """
        try:
            return self.files.context(self.broker)
        except BrokerOptionsError as error:
            raise SetupError(str(error)) from error


def choose_broker(
    url: str,
    *,
    insecure: bool,
    files: BrokerTls,
    grpc: str,
    advertise: str | None,
    for_agents: str | None = None,
) -> BrokerSettings:
    """Check the options.

    Raises:
        SetupError: the URL, a file or the address to reply to cannot be used.
    """
    if files.key and not files.certificate:
        raise SetupError("--mqtt-key: give --mqtt-cert, too")
    try:
        broker, tls = broker_from_options(url, files, insecure=insecure)
    except BrokerOptionsError as error:
        raise SetupError(str(error)) from error
    if tls is None and (files.authority or files.certificate):
        raise SetupError(f"--mqtt {broker}: certificates are of use with mqtts:// only")
    if not advertise and grpc.rpartition(":")[0].strip("[]") in _EVERYWHERE:
        raise SetupError(
            f"--grpc {grpc}: with --mqtt, agents must be told one address; give --advertise "
            "HOST:PORT as they reach this coordinator"
        )
    advertise = with_ascii_host(advertise or "")
    if advertise and not is_address(advertise):
        raise SetupError(f"--advertise {advertise}: give HOST:PORT, an IPv6 address in brackets")
    return BrokerSettings(
        broker=broker,
        tls=tls,
        advertise=advertise,
        for_agents=str(_for_agents(for_agents) if for_agents else broker),
        authority=files.authority.read_bytes() if files.authority else b"",
        has_certificate=files.certificate is not None,
        files=files,
    )


def _for_agents(url: str) -> Broker:
    try:
        broker = broker_of(url)
    except BrokerUrlError as error:
        raise SetupError(f"--agent-mqtt: {error}; give mqtts://HOST[:PORT]") from None
    if not broker.tls or broker.username:
        raise SetupError(
            f"--agent-mqtt {broker}: agents authenticate with their certificates; give "
            "mqtts://HOST[:PORT], without a user"
        )
    return broker
