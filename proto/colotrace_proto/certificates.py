"""Parts of a certificate that both programs read."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""Exceptions of the library for invalid certificates and keys. They have no common base class, and
untrusted input can cause any of them."""


def usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    """The extended key usages of a certificate; empty without that extension.

    Raises:
        Exception: one of `UNREADABLE`.
    """
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return set()
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage.value:
        return {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    return set(usage.value)
