"""Certificates: the server's own, reloaded when their files change, and those of agents.

An agent's certificate must be for TLS clients and not for servers. Agents require a server
certificate (extended key usage, RFC 5280 section 4.2.1.12), so nobody can impersonate a coordinator
with an agent's. It names the colo as common name or as an alternative DNS name.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
from colotrace_proto.certificates import UNREADABLE, usages
from colotrace_proto.messages import Hello
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from colotrace_coordinator.authority.identity import AgentIdentity, identity_of
from colotrace_coordinator.errors import CoordinatorError, SetupError


class TlsError(SetupError):
    """The server's certificates cannot be used; the text says why."""


class CertificateError(CoordinatorError):
    """An agent's certificate is not accepted; the text says why."""


class TlsSource(Protocol):
    """Where the certificates come from; they may change."""

    def read(self) -> "TlsTexts":
        """The certificates as they are now.

        Raises:
            TlsError: they cannot be used.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files: the server's certificate and key, and the CA of agents' certificates."""

    certificate: Path
    key: Path
    client_authority: Path

    def read(self) -> "TlsTexts":
        """Read the files and check that they can be used together.

        Raises:
            TlsError: a file cannot be read, or is invalid.
        """
        certificate, key = _read(self.certificate), _read(self.key)
        authority = _read(self.client_authority)
        # gRPC would only log the cause, and fail to listen without a reason.
        try:
            own = x509.load_pem_x509_certificate(certificate)
            public, wanted = own.public_key(), usages(own)
            x509.load_pem_x509_certificates(authority)
        except UNREADABLE as error:
            raise TlsError(f"{self.certificate} or {self.client_authority}: {error}") from error
        try:
            private = load_pem_private_key(key, password=None)
        except UNREADABLE as error:
            raise TlsError(f"{self.key} is no private key in PEM without password") from error
        if private.public_key() != public:
            raise TlsError(f"{self.key} is not the key of {self.certificate}")
        if ExtendedKeyUsageOID.SERVER_AUTH not in wanted:
            raise TlsError(
                f"{self.certificate} is not for a TLS server, and agents would refuse it; have it "
                "issued with the extended key usage serverAuth"
            )
        return TlsTexts(certificate=certificate, key=key, client_authority=authority)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsTexts:
    """The PEM texts of `TlsFiles`."""

    certificate: bytes
    key: bytes
    client_authority: bytes

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The same as gRPC's type."""
        return grpc.ssl_server_certificate_configuration(
            [(self.key, self.certificate)], root_certificates=self.client_authority
        )


class ServerTls:
    """The server's credentials; every agent must present a certificate."""

    def __init__(self, source: TlsSource) -> None:
        """
        Raises:
            TlsError: see `TlsSource.read`.
        """
        self._source = source
        self._texts = source.read()
        self._reloaded: grpc.ServerCertificateConfiguration | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC, which asks at each handshake whether the certificates have changed."""
        return grpc.dynamic_ssl_server_credentials(
            self._texts.configuration(),
            self._changed,  # type: ignore[arg-type] # the stubs lack None, which gRPC documents
            require_client_authentication=True,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        # None keeps the former. gRPC frees what it replaces, while another thread may still use it
        # in a handshake: answering each handshake with a configuration crashes the process when
        # many agents attach at once.
        reloaded, self._reloaded = self._reloaded, None
        return reloaded

    def reload(self) -> bool:
        """Use the certificates as they are now; True if a CA of agents is trusted no more.

        Raises:
            TlsError: they cannot be used; the former ones stay in use.
        """
        texts = self._source.read()
        lost = _certificates(self._texts.client_authority) - _certificates(texts.client_authority)
        self._reloaded = texts.configuration()
        self._texts = texts
        return bool(lost)


@dataclass(frozen=True, slots=True)
class AgentCertificate:
    """An agent's certificate: its names, its expiry (seconds since 1970), and its SHA-256 hash.
    `identity` is that of an enrolled agent, and None in a certificate of another CA."""

    names: tuple[str, ...]
    expires_at: float
    fingerprint: str
    identity: AgentIdentity | None = None

    @property
    def holder(self) -> str:
        """Whose shares its streams take. An enrolled agent gets no more of them by renewals."""
        return self.identity.id if self.identity is not None else self.fingerprint


def agent_certificate(pem: bytes) -> AgentCertificate:
    """The certificate that TLS has verified, read once more: TLS does not ask all that matters.

    Raises:
        CertificateError: it is not for a TLS client, is for a TLS server, too, or has a name that
            cannot be compared.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        alternative = _alternative_names(certificate)
        names = _names(certificate, alternative)
        identity = identity_of(alternative.get_values_for_type(x509.UniformResourceIdentifier))
        found = usages(certificate)
    except UNREADABLE as error:
        raise CertificateError(f"the certificate cannot be read: {error}") from error
    if any(not name.isprintable() for name in names):
        raise CertificateError("the certificate has control characters in a name")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in found:
        raise CertificateError(
            "the certificate is not for a TLS client; have it issued with the extended key usage "
            "clientAuth"
        )
    if ExtendedKeyUsageOID.SERVER_AUTH in found:
        raise CertificateError(
            "the certificate would pass for a coordinator's; have it issued without the extended "
            "key usage serverAuth"
        )
    return AgentCertificate(
        names=tuple(names),
        expires_at=certificate.not_valid_after_utc.timestamp(),
        fingerprint=hashlib.sha256(pem).hexdigest(),
        identity=identity,
    )


def vouches(names: Iterable[str], hello: Hello) -> bool:
    """Whether a certificate with these names (common name, alternative names) is for the agent's
    colo. Its id does not count: an agent chooses that itself."""
    colo = hello.colo.casefold()
    return any(name.casefold() == colo for name in names)


def _names(certificate: x509.Certificate, alternative: x509.SubjectAlternativeName) -> list[str]:
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [
        *(str(attribute.value) for attribute in common),
        *alternative.get_values_for_type(x509.DNSName),
    ]


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _certificates(text: bytes) -> set[x509.Certificate]:
    return set(x509.load_pem_x509_certificates(text))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"cannot read {path}: {error.strerror}") from error
