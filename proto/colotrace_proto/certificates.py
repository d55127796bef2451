"""What both programs read in a certificate."""

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
"""What the library raises for a certificate or key that it cannot read: these have no base class
in common, and a stranger chooses which comes."""


def usages(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    """Its extended key usages; none where it does not say.

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
