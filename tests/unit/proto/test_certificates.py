"""Certificates that are there to break their reader."""

from datetime import UTC, datetime, timedelta

import pytest
from colotrace_proto.certificates import UNREADABLE, usages
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from hypothesis import given
from hypothesis import strategies as st


def issued(*wanted: x509.ObjectIdentifier) -> bytes:
    """A certificate with these usages, in DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    if wanted:
        builder = builder.add_extension(x509.ExtendedKeyUsage(wanted), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ((), set()),
        ((Usage.CLIENT_AUTH,), {Usage.CLIENT_AUTH}),
        ((Usage.ANY_EXTENDED_KEY_USAGE,), {Usage.CLIENT_AUTH, Usage.SERVER_AUTH}),
    ],
)
def test_usages(
    wanted: tuple[x509.ObjectIdentifier, ...], found: set[x509.ObjectIdentifier]
) -> None:
    assert usages(x509.load_der_x509_certificate(issued(*wanted))) == found


SOUND = issued(Usage.CLIENT_AUTH)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.integers(0, len(SOUND) - 1), st.integers(0, 255))
def test_any_damage_raises_what_is_expected(at: int, byte: int) -> None:
    damaged = SOUND[:at] + bytes([byte]) + SOUND[at + 1 :]
    try:
        certificate = x509.load_der_x509_certificate(damaged)
        certificate.public_key()
        usages(certificate)
    except UNREADABLE:
        pass
