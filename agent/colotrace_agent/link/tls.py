"""The agent's TLS files."""

from pathlib import Path
from typing import NamedTuple

from colotrace_agent.errors import AgentError


class Pem(NamedTuple):
    """The contents of the files of `Tls`."""

    authority: bytes
    key: bytes
    certificate: bytes
    renewed_at: str = ""
    """HOST:PORT where the agent renews its certificate itself; "" if it is of another CA."""


class CoordinatorCertificateError(AgentError):
    """The certificate of the peer is not valid for the coordinator; the text says why."""


class AgentCertificateError(AgentError):
    """The coordinator refused this agent's certificate; the text says why."""

    def __init__(self, text: str, *, expired: bool) -> None:
        """`expired` is True if the certificate has expired, by this host's clock."""
        super().__init__(text)
        self.expired = expired


class Tls:
    """PEM files: this agent's certificate and key, and the CA of the coordinator's certificate."""

    def __init__(
        self, *, certificate: Path, key: Path, authority: Path, renewed_at: str = ""
    ) -> None:
        """`renewed_at`: see `Pem`."""
        self._renewed_at = renewed_at
        self._files = authority, key, certificate
        self._last: Pem | None = None

    def read(self) -> Pem:
        """The contents of the files now; the last contents if they cannot be read any more.

        An agent started by root reads them once as root, then runs as another user. If that user
        may read them too, replaced files are used from the next attachment on.

        Raises:
            OSError: they could never be read.
        """
        try:
            authority, key, certificate = (file.read_bytes() for file in self._files)
            self._last = Pem(authority, key, certificate, self._renewed_at)
        except OSError:
            if self._last is None:
                raise
        return self._last
