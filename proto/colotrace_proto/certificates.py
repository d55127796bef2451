"""Parts of a certificate that both programs read."""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

if TYPE_CHECKING:
    import ssl

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


class CertificateFault(enum.Enum):
    """Why TLS does not accept a certificate."""

    NOT_YET_VALID = enum.auto()
    EXPIRED = enum.auto()
    OTHER_AUTHORITY = enum.auto()
    """Its signature is wrong, it is self-signed, or its issuer is unknown."""
    OTHER_NAME = enum.auto()
    """It is for another host name or address."""
    UNKNOWN = enum.auto()


# Codes of OpenSSL (x509_vfy.h), which Python's ssl does not name.
_FAULTS = {
    9: CertificateFault.NOT_YET_VALID,
    10: CertificateFault.EXPIRED,
    **dict.fromkeys((7, 18, 19, 20, 21), CertificateFault.OTHER_AUTHORITY),
    **dict.fromkeys((62, 64), CertificateFault.OTHER_NAME),
}


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


def fault_of(error: ssl.SSLCertVerificationError) -> CertificateFault:
    """Why TLS does not accept the certificate."""
    return _FAULTS.get(error.verify_code, CertificateFault.UNKNOWN)


def refused_words(error: ssl.SSLCertVerificationError, *, host: str, now: float) -> str:
    """Why TLS does not accept the certificate of a coordinator that is reached as `host`, and what
    to do. `now` is Unix time by this host's clock."""
    fault = fault_of(error)
    if fault in (CertificateFault.NOT_YET_VALID, CertificateFault.EXPIRED):
        word = "has ended" if fault is CertificateFault.EXPIRED else "is not valid yet"
        return (
            f"the coordinator's certificate {word} by this host's clock, which says "
            f"{instant_words(now)}; set the clock of this host, or else of the coordinator's"
        )
    if fault is CertificateFault.OTHER_AUTHORITY:
        return (
            "the coordinator's certificate is of another certificate authority than the one that "
            "this agent trusts; check the address, or join anew if the coordinator has a new "
            "database"
        )
    if fault is CertificateFault.OTHER_NAME:
        return (
            f"the coordinator's certificate is not for {host}; give the coordinator this name or "
            "address by --name"
        )
    return f"the coordinator's certificate is not accepted: {error.verify_message}"


def validity_fault(certificate: x509.Certificate, *, now: float) -> str:
    """In words, if the certificate has ended or is not valid yet at `now`, in Unix seconds, by this
    host's clock; "" if it is valid."""
    begins_at = certificate.not_valid_before_utc.timestamp()
    ends_at = certificate.not_valid_after_utc.timestamp()
    clock = f"this host's clock says {instant_words(now)}"
    if ends_at < now:
        return f"it ended at {instant_words(ends_at)}, and {clock}"
    if begins_at > now:
        return f"it is valid from {instant_words(begins_at)} on, but {clock}: set the clock"
    return ""


def instant_words(unix_s: float) -> str:
    """A moment in UTC, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(unix_s))
