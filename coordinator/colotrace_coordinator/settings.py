"""The settings of `serve`, checked as far as possible without opening anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SetupError
from .listen import Address, Network
from .own_names import named_or_own
from .store.location import Location

if TYPE_CHECKING:
    from .links.mqtt.choose import BrokerSettings

SECRET_FILE = "ca.secret"  # noqa: S105 - a name
"""The file in the directory of `--data` that has the secret of the CA's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPaths:
    """PEM files: the server's certificate and key, and the CA of the agents' certificates.
    `agent_ca` None: the coordinator's own CA certifies agents, and the files are for HTTPS only."""

    certificate: Path
    key: Path
    agent_ca: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        files = self.certificate, self.key
        return files if self.agent_ca is None else (*files, self.agent_ca)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAuthority:
    """The coordinator's own certificate authority (CA).

    `names`: host names and IP addresses at which this coordinator is reached. `join`: where agents
    enrol. The CA's key is encrypted under `secret`, or else that in `secret_file`, which is created
    if it is missing.
    """

    names: tuple[str, ...]
    join: Address
    secret: str
    secret_file: Path | None
    lifetime_s: float
    """Of agents' certificates."""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"OwnAuthority(names={self.names}, join={self.join})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """`tls` and `authority` None: HTTP and gRPC are unencrypted. `ops` None: the API's listener
    serves the routes of operation too. `requests_per_window` counts in windows of five minutes.
    `target_rate` and `account_target_rate`: packets a second to one target, for all accounts and
    for each. From the signal to stop, `/readyz` refuses for `stop_delay_s` before new connections
    are refused. Measurements are kept for `keep_days`, and as long as all have `keep_bytes` at
    most."""

    http: Address
    grpc: Address
    ops: Address | None
    location: Location
    tls: TlsPaths | None
    authority: OwnAuthority | None
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

    @property
    def encrypted(self) -> bool:
        """Whether connections are encrypted, and agents have certificates."""
        return self.tls is not None or self.authority is not None


def choose_tls(
    *, insecure: bool, certificate: Path | None, key: Path | None, agent_ca: Path | None
) -> TlsPaths | None:
    """The TLS files. None without encryption, or if the coordinator's own CA issues all
    certificates.

    Raises:
        SetupError: the flags exclude each other, or a file is missing.
    """
    given = {"--tls-cert": certificate, "--tls-key": key, "--agent-ca": agent_ca}
    if insecure:
        for flag, path in given.items():
            if path:
                raise SetupError(f"--insecure and {flag} exclude each other; leave one out")
        return None
    for flag, path in given.items():
        if path and not path.is_file():
            raise SetupError(f"{flag} {path}: there is no such file")
    if certificate and key:
        return TlsPaths(certificate=certificate, key=key, agent_ca=agent_ca)
    for flag, path in given.items():
        if path:
            raise SetupError(
                f"{flag} needs --tls-cert and --tls-key; give these, too, or leave it out to have "
                "the coordinator issue all certificates"
            )
    return None


def choose_secret_file(given: Path | None, *, data: Path | None, location: Location) -> Path | None:
    """The file with the secret of the CA's key: the given one, or else one in `--data` or beside
    SQLite's."""
    if given is not None:
        return given
    if data is not None:
        return data / SECRET_FILE
    return location.file.with_name(SECRET_FILE) if location.file is not None else None


def choose_authority(
    *,
    insecure: bool,
    tls: TlsPaths | None,
    names: Sequence[str],
    join: Address,
    secret: str,
    secret_file: Path | None,
    lifetime_s: float,
    data: Path | None,
    location: Location,
) -> OwnAuthority | None:
    """The coordinator's own CA; None if agents have certificates of another one, or none.

    Raises:
        SetupError: a name is neither a host name nor an IP address, or the secret is missing.
    """
    if insecure or (tls is not None and tls.agent_ca is not None):
        if names:
            why = "--insecure" if insecure else "--agent-ca"
            raise SetupError(
                f"--name is for certificates that the coordinator issues; {why} excludes it"
            )
        return None
    secret_file = choose_secret_file(secret_file, data=data, location=location)
    if not secret and secret_file is None:
        raise SetupError(
            "the CA's key is kept in the database, encrypted; give its secret in the variable "
            "COLOTRACE_CA_SECRET, in a file by --ca-secret-file, or have it created in a directory "
            "by --data"
        )
    return OwnAuthority(
        names=named_or_own(names),
        join=join,
        secret=secret,
        secret_file=secret_file,
        lifetime_s=lifetime_s,
    )
