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


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM files: a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A CA of its own. What it signs is in its folder."""

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
        valid_h: tuple[float, float] = (-1, 1),
    ) -> Pair:
        """A certificate with that common name, and its key.

        `also` is an alternative name: a DNS name or an address. Without it the certificate is for
        clients; with it for servers and clients, or for clients only if `client`. `usages` replace
        these extended key usages; () leaves them out. It is valid from and until these hours from
        now.
        """
        if usages is None:
            usages = (ExtendedKeyUsageOID.CLIENT_AUTH,)
            if also and not client:
                usages += (ExtendedKeyUsageOID.SERVER_AUTH,)
        key = ec.generate_private_key(ec.SECP256R1())
        file = "".join(c for c in name if c.isalnum() or c in ".-")
        pair = Pair(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        names = [_alternative(also)] if also else []
        pair.certificate.write_bytes(
            self._signed(
                _named(name),
                key.public_key(),
                names=names,
                usages=usages,
                valid_h=valid_h,
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
        valid_h: tuple[float, float] = (-1, 1),
    ) -> bytes:
        """`names` None makes it the authority's own."""
        now = datetime.datetime.now(datetime.UTC)
        begins, ends = (now + datetime.timedelta(hours=each) for each in valid_h)
        own = names is None
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
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
