"""The agent's TLS files."""

from pathlib import Path
from typing import NamedTuple

from colotrace_agent.errors import AgentError


class Pem(NamedTuple):
    """What the files of `Tls` hold."""

    authority: bytes
    key: bytes
    certificate: bytes


class CoordinatorCertificateError(AgentError):
    """The certificate of the peer is not valid for the coordinator; the text says why."""


class AgentCertificateError(AgentError):
    """The coordinator refused this agent's certificate; the text says why."""

    def __init__(self, text: str, *, expired: bool) -> None:
        """`expired` is True if the certificate has expired, by this host's clock."""
        super().__init__(text)
        self.expired = expired


class Tls:
    """Files in PEM form: our certificate and key, and who may have signed the coordinator's."""

    def __init__(self, *, certificate: Path, key: Path, authority: Path) -> None:
        self._files = authority, key, certificate
        self._last: Pem | None = None

    def read(self) -> Pem:
        """The files as they are now; as they were last, if they cannot be read any more.

        An agent that root has started reads them once as root, and then is another user. If that
        user may read them too, replaced files are taken at the next attachment.

        Raises:
            OSError: they could never be read.
        """
        try:
            self._last = Pem(*(file.read_bytes() for file in self._files))
        except OSError:
            if self._last is None:
                raise
        return self._last
