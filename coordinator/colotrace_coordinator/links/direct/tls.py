"""Certificates: the server's own, and what an agent's must say."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import grpc
from colotrace_proto.messages import Hello
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from colotrace_coordinator.errors import SetupError


class TlsError(SetupError):
    """The certificates cannot be used, and why in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files: the server's own, and the authority that agents' certificates come from."""

    certificate: Path
    key: Path
    client_authority: Path

    def credentials(self) -> grpc.ServerCredentials:
        """What the server listens with; every agent must show a certificate.

        Raises:
            TlsError: a file cannot be read or does not hold what it should.
        """
        certificate, key = _read(self.certificate), _read(self.key)
        authority = _read(self.client_authority)
        # gRPC itself would only log what is wrong, and fail to listen without saying why.
        try:
            public = x509.load_pem_x509_certificate(certificate).public_key()
            x509.load_pem_x509_certificates(authority)
        except ValueError as error:
            raise TlsError(f"{self.certificate} or {self.client_authority}: {error}") from error
        try:
            private = load_pem_private_key(key, password=None)
        except (ValueError, TypeError) as error:
            raise TlsError(f"{self.key} is no private key in PEM without password") from error
        if private.public_key() != public:
            raise TlsError(f"{self.key} is not the key of {self.certificate}")
        return grpc.ssl_server_credentials(
            [(key, certificate)], root_certificates=authority, require_client_auth=True
        )


def vouches(names: Iterable[str], hello: Hello) -> bool:
    """Whether a certificate with these names (common name, alternative names) is for the agent's
    colo. Its id does not count: an agent chooses that itself."""
    colo = hello.colo.casefold()
    return any(name.casefold() == colo for name in names)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"cannot read {path}: {error.strerror}") from error
