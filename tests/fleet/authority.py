"""Signs certificates, for programs that speak TLS to each other."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_HOUR = datetime.timedelta(hours=1)
_MINUTE = datetime.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM files: a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A CA of its own. All that it signs is in its folder, and good for an hour."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"{name} of a test")
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._signed(self._name, self._key.public_key(), names=None))

    def issue(
        self,
        name: str,
        *,
        also: str = "",
        client: bool = False,
        usages: tuple[x509.ObjectIdentifier, ...] | None = None,
        expired: bool = False,
    ) -> Pair:
        """For that common name: a client's. With a host's name or address beside it, a server's,
        which may be a client, too (of a broker), unless `client` says that it is an agent's.
        `usages` are its extended key usages, if others; () leaves them unsaid. An `expired` one was
        good until a minute ago."""
        if usages is None:
            usages = (ExtendedKeyUsageOID.CLIENT_AUTH,)
            if also and not client:
                usages += (ExtendedKeyUsageOID.SERVER_AUTH,)
        key = ec.generate_private_key(ec.SECP256R1())
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        names = [_alternative(also)] if also else []
        pair.certificate.write_bytes(
            self._signed(
                _named(name),
                key.public_key(),
                names=names,
                usages=usages,
                good_for=-_MINUTE if expired else _HOUR,
            )
        )
        return pair

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        names: list[x509.GeneralName] | None,
        usages: tuple[x509.ObjectIdentifier, ...] = (),
        good_for: datetime.timedelta = _HOUR,
    ) -> bytes:
        """`names` None makes it the authority's own."""
        now = datetime.datetime.now(datetime.UTC)
        own = names is None
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _HOUR)
            .not_valid_after(now + good_for)
            .add_extension(x509.BasicConstraints(ca=own, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if own:
            builder = builder.add_extension(_SIGNS, critical=True)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
