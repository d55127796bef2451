"""The agent's TLS files."""

from pathlib import Path
from typing import NamedTuple


class Pem(NamedTuple):
    """What the files of `Tls` hold."""

    authority: bytes
    key: bytes
    certificate: bytes


class ImpostorError(Exception):
    """Who answers has no coordinator's certificate, and why in words."""


class RefusedError(Exception):
    """The coordinator does not take our certificate, and why in words."""

    def __init__(self, words: str, *, expired: bool) -> None:
        """`expired` says that this is the reason, by this host's clock."""
        super().__init__(words)
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
