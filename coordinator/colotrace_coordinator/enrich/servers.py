"""The name servers for PTR look-ups: that of `--resolver`, or the system's.

/etc/resolv.conf is read again when it changes: at boot it may be empty until the network is up.
"""

import re
from collections.abc import Callable
from pathlib import Path

import dns.asyncresolver
import dns.resolver
from colotrace_proto.identifiers import address_of
from structlog.typing import FilteringBoundLogger

from colotrace_coordinator.errors import SetupError

TRY_S = 1.5
TOTAL_S = 4.0
_LOOK_EVERY_S = 1.0
_SYSTEM = Path("/etc/resolv.conf")
_RESOLVER = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>[0-9]{1,5}))?")

_Version = tuple[int, int, int] | None


class ResolverError(SetupError):
    """`--resolver` is malformed; the text has the reason."""


class NameServers:
    """The current name servers.

    `given` is a name server's address as HOST or HOST:PORT (IPv6 with a port in brackets); None
    means the system's name servers.

    Raises:
        ResolverError: `given` is malformed.
    """

    def __init__(
        self,
        given: str | None,
        *,
        clock: Callable[[], float],
        log: FilteringBoundLogger,
        system: Path = _SYSTEM,
    ) -> None:
        self._clock = clock
        self._log = log
        self._file = system if given is None else None
        self._looked_at = clock()
        self._version: _Version = None
        self._resolver: dns.asyncresolver.Resolver | None = None
        if given is None:
            self._version = _version(system)
            self._read(system)
        else:
            host, port = parse_resolver(given)
            resolver = _bounded(dns.asyncresolver.Resolver(configure=False))
            resolver.nameservers, resolver.port = [host], port
            self._resolver = resolver

    def resolver(self) -> dns.asyncresolver.Resolver | None:
        """The resolver to use; None while the system has no name server."""
        if self._file is not None and self._clock() >= self._looked_at + _LOOK_EVERY_S:
            self._looked_at = self._clock()
            version = _version(self._file)
            if version != self._version:
                self._version = version
                self._read(self._file)
        return self._resolver

    def _read(self, file: Path) -> None:
        try:
            self._resolver = _bounded(dns.asyncresolver.Resolver(str(file)))
        except (dns.resolver.NoResolverConfiguration, OSError, ValueError) as error:
            self._resolver = None
            self._log.warning(
                "no_name_server",
                file=str(file),
                detail="answers have no names until the file names a server, or --resolver does",
                error=str(error),
            )
        else:
            self._log.debug("name_servers", servers=list(map(str, self._resolver.nameservers)))


def _bounded(resolver: dns.asyncresolver.Resolver) -> dns.asyncresolver.Resolver:
    resolver.timeout = TRY_S
    resolver.lifetime = TOTAL_S
    return resolver


def _version(file: Path) -> _Version:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def parse_resolver(given: str) -> tuple[str, int]:
    """The address and port of HOST or HOST:PORT (IPv6 with a port in brackets).

    The host must be an address, since no resolver is known yet.

    Raises:
        ResolverError: `given` is malformed.
    """
    match = _RESOLVER.fullmatch(given)
    host, port = (match["v6"] or match["host"], match["port"] or "53") if match else (given, "53")
    address = address_of(host)
    if address is None or not 0 < int(port) <= 65_535:
        raise ResolverError(
            f"--resolver {given}: not an address, or an address and a port, like 192.0.2.53:53"
        )
    return str(address), int(port)
