"""A certificate authority (X.509, RFC 5280) for agents and coordinators, on P-256."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from colotrace_proto.certificates import UNREADABLE
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from colotrace_coordinator.errors import CoordinatorError, SetupError

from .identity import AgentIdentity

SERVER_LIFETIME_S = 30 * 86_400.0
_OWN_LIFETIME_S = 20 * 365 * 86_400.0
_EARLIER_S = 86_400.0
"""Certificates are valid from so long before: clocks of hosts differ."""
MAX_REQUEST = 8_192
"""Largest signing request, in bytes."""


class SigningRequestError(CoordinatorError):
    """A signing request is not accepted; the text says why."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key, both PEM, and when it ends, in Unix seconds."""

    certificate: bytes
    key: bytes
    ends_at: float


class Issuer(Protocol):
    """What signs certificates: one authority, or its generations."""

    @property
    def certificate(self) -> bytes:
        """The certificates to trust, PEM."""

    def for_agent(
        self, identity: AgentIdentity, key: ec.EllipticCurvePublicKey, *, lifetime_s: float
    ) -> tuple[bytes, float]:
        """See `Authority`."""

    def for_client(self, name: str, *, lifetime_s: float = SERVER_LIFETIME_S) -> Issued:
        """See `Authority`."""

    def for_server(self, names: Sequence[str], *, lifetime_s: float = SERVER_LIFETIME_S) -> Issued:
        """See `Authority`."""

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """See `Authority`."""


class Authority:
    """`certificate` is PEM. The key never leaves this object but by `export`."""

    def __init__(
        self,
        certificate: bytes,
        key: ec.EllipticCurvePrivateKey,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.certificate = certificate
        self._own = x509.load_pem_x509_certificate(certificate)
        self._key = key
        self._clock = clock

    @classmethod
    def create(cls, *, clock: Callable[[], float] = time.time) -> Authority:
        """A new one, with a random name, so that two are told apart in a list."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _named(f"colotrace CA {secrets.token_hex(4)}")
        now = clock()
        certificate = (
            _begun(name, name, key.public_key(), key.public_key(), now, now + _OWN_LIFETIME_S)
            # One below it: the authority that follows (see `cross_sign`).
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_key_usage(signs=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate.public_bytes(Encoding.PEM), key, clock=clock)

    @classmethod
    def load(
        cls, certificate: bytes, key: bytes, *, clock: Callable[[], float] = time.time
    ) -> Authority:
        """From the certificate and the key, both PEM.

        Raises:
            SetupError: they cannot be read, or do not belong together.
        """
        try:
            private = load_pem_private_key(key, password=None)
            public = x509.load_pem_x509_certificate(certificate).public_key()
        except UNREADABLE as error:
            raise SetupError(f"the CA in the database cannot be read: {error}") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != public:
            raise SetupError("the CA's key in the database is not that of its certificate")
        return cls(certificate, private, clock=clock)

    def export(self) -> bytes:
        """The key, as PEM without encryption."""
        return _key_text(self._key)

    def cross_sign(self, successor: Authority) -> bytes:
        """A certificate for the successor's name and key, PEM. With it, programs that trust this
        authority alone can verify certificates of the successor."""
        ends = min(self._own.not_valid_after_utc, successor._own.not_valid_after_utc)
        certificate = (
            _begun(
                successor._own.subject,
                self._own.subject,
                successor._public,
                self._public,
                self._clock(),
                ends.timestamp(),
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM)

    @property
    def ends_at(self) -> float:
        """When the authority's own certificate ends, in Unix seconds."""
        return self._own.not_valid_after_utc.timestamp()

    def for_agent(
        self,
        identity: AgentIdentity,
        key: ec.EllipticCurvePublicKey,
        *,
        lifetime_s: float,
    ) -> tuple[bytes, float]:
        """A TLS client's certificate for an agent, PEM, and when it ends. Its common name is the
        identity, which an MQTT broker takes for the user's name."""
        certificate = self._signed(
            key,
            name=identity.id,
            alternatives=[x509.UniformResourceIdentifier(identity.uri)],
            usage=ExtendedKeyUsageOID.CLIENT_AUTH,
            lifetime_s=lifetime_s,
        )
        return certificate.public_bytes(Encoding.PEM), certificate.not_valid_after_utc.timestamp()

    def for_client(self, name: str, *, lifetime_s: float = SERVER_LIFETIME_S) -> Issued:
        """A TLS client's certificate with a new key, and this common name."""
        return self._issued(
            name, alternatives=[], usage=ExtendedKeyUsageOID.CLIENT_AUTH, lifetime_s=lifetime_s
        )

    def for_server(self, names: Sequence[str], *, lifetime_s: float = SERVER_LIFETIME_S) -> Issued:
        """A TLS server's certificate with a new key, for these host names and IP addresses."""
        return self._issued(
            names[0][:64],
            alternatives=[_alternative(name) for name in names],
            usage=ExtendedKeyUsageOID.SERVER_AUTH,
            lifetime_s=lifetime_s,
        )

    def _issued(
        self,
        name: str,
        *,
        alternatives: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        lifetime_s: float,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(
            key.public_key(),
            name=name,
            alternatives=alternatives,
            usage=usage,
            lifetime_s=lifetime_s,
        )
        return Issued(
            certificate.public_bytes(Encoding.PEM),
            _key_text(key),
            certificate.not_valid_after_utc.timestamp(),
        )

    def _signed(
        self,
        key: ec.EllipticCurvePublicKey,
        *,
        name: str,
        alternatives: Sequence[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        lifetime_s: float,
    ) -> x509.Certificate:
        now = self._clock()
        begun = (
            _begun(_named(name), self._own.subject, key, self._public, now, now + lifetime_s)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if alternatives:
            begun = begun.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return begun.sign(self._key, hashes.SHA256())

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate is this authority's, expired or not."""
        try:
            certificate.verify_directly_issued_by(self._own)
        except (*UNREADABLE, InvalidSignature):
            return False
        return True

    @property
    def _public(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()


def requested_key(text: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a signing request (PKCS #10, RFC 2986) in PEM. Whoever has made the request has
    the private key. The names in it are ignored.

    Raises:
        SigningRequestError: it is too large or malformed, its signature is wrong, or the key is not
            on P-256.
    """
    if len(text) > MAX_REQUEST:
        raise SigningRequestError(f"the signing request has more than {MAX_REQUEST:,} bytes")
    try:
        request = x509.load_pem_x509_csr(text)
        key = request.public_key()
        # First: verifying the signature of another key can take long, and anybody may ask.
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
            raise SigningRequestError("the signing request is for a key that is not on P-256")
        valid = request.is_signature_valid
    except UNREADABLE as error:
        raise SigningRequestError(f"the signing request cannot be read: {error}") from error
    if not valid:
        raise SigningRequestError("the signing request's signature is wrong")
    return key


def key_fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of a public key (its SubjectPublicKeyInfo), in hexadecimal."""
    text = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(text).hexdigest()


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    now: float,
    ends_at: float,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_instant(now - _EARLIER_S))
        .not_valid_after(_instant(ends_at))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _instant(unix_s: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(unix_s), datetime.UTC)
