"""The settings of `serve`, checked as far as possible without opening anything."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SetupError
from .listen import Address, Network
from .store.location import Location

if TYPE_CHECKING:
    from .links.mqtt.choose import BrokerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPaths:
    """PEM files: the server's certificate and key, and the CA of the agents' certificates."""

    certificate: Path
    key: Path
    agent_ca: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return self.certificate, self.key, self.agent_ca


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """`tls` None: HTTP and gRPC are unencrypted. `ops` None: the API's listener serves the
    routes of operation too. `requests_per_window` counts in windows of five minutes. `target_rate`
    and `account_target_rate`: packets a second to one target, for all accounts and for each. From
    the signal to stop, `/readyz` refuses for `stop_delay_s` before new connections are refused.
    Measurements are kept for `keep_days`, and as long as all have `keep_bytes` at most."""

    http: Address
    grpc: Address
    ops: Address | None
    location: Location
    tls: TlsPaths | None
    mqtt: "BrokerSettings | None"
    asn_db: Path | None
    resolver: str | None
    allow_private: bool
    requests_per_window: int
    target_rate: int
    account_target_rate: int
    trusted_proxies: tuple[Network, ...]
    stop_delay_s: float
    keep_days: int
    keep_bytes: int


def choose_tls(
    *, insecure: bool, certificate: Path | None, key: Path | None, agent_ca: Path | None
) -> TlsPaths | None:
    """The TLS files, or None for unencrypted connections.

    Raises:
        SetupError: neither or both were chosen, or a file is missing.
    """
    given = {"--tls-cert": certificate, "--tls-key": key, "--agent-ca": agent_ca}
    if insecure:
        for flag, path in given.items():
            if path:
                raise SetupError(f"--insecure and {flag} exclude each other; leave one out")
        return None
    if not (certificate and key and agent_ca):
        missing = ", ".join(flag for flag, path in given.items() if not path)
        raise SetupError(
            f"{missing} missing: give --tls-cert, --tls-key and --agent-ca for TLS, or "
            "--insecure to serve without encryption on a network that you trust"
        )
    for flag, path in given.items():
        if path and not path.is_file():
            raise SetupError(f"{flag} {path}: there is no such file")
    return TlsPaths(certificate=certificate, key=key, agent_ca=agent_ca)
