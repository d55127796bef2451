"""The certificates that clients and agents get to see."""

import socket
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

from colotrace_proto.certificates import UNREADABLE
from colotrace_proto.findings import Finding, fail, ok, warn
from colotrace_proto.identifiers import address_of
from colotrace_proto.spans import span
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from colotrace_coordinator.listen import Address

_ANSWER_S = 3.0
_DAY_S = 86_400.0
_SOON_S = 14 * _DAY_S
_RESTART = "restart the coordinator: it issues its certificate again"


def listened(
    flag: str, place: Address, *, names: Sequence[str], authorities: Sequence[bytes]
) -> list[Finding]:
    """Judge the certificate of the listener, which this host connects to. `names` it must have;
    one of `authorities` (PEM) must have issued it, if there are any."""
    check = f"certificate at {flag}"
    host = place.host or "127.0.0.1"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, place.port), timeout=_ANSWER_S) as plain,
            context.wrap_socket(plain, server_hostname=names[0] if names else None) as secured,
        ):
            found = secured.getpeercert(binary_form=True)
    except ConnectionRefusedError:
        return []  # the finding on the port says it
    except OSError as error:
        return [
            fail(
                check,
                f"no TLS at {host}:{place.port}: {error.strerror or error}",
                "see which program listens there; without TLS, run this with --insecure",
            )
        ]
    return [judge(check, found or b"", names=names, authorities=authorities)]


def judge(
    check: str,
    der: bytes,
    *,
    names: Sequence[str],
    authorities: Sequence[bytes],
    now: float | None = None,
) -> Finding:
    """Judge a server's certificate."""
    now = time.time() if now is None else now
    remedy = _RESTART if authorities else "replace the files of --tls-cert and --tls-key"
    try:
        certificate = x509.load_der_x509_certificate(der)
        covered = _names(certificate)
    except UNREADABLE as error:
        return fail(check, f"cannot be read: {error}", remedy)
    ends_at = certificate.not_valid_after_utc.timestamp()
    begins_at = certificate.not_valid_before_utc.timestamp()
    if ends_at < now:
        return fail(check, f"has ended {span(now - ends_at)} ago", f"{remedy}; check the clock")
    if begins_at > now:
        return fail(
            check, f"is valid only in {span(begins_at - now)}", f"set this host's clock; {remedy}"
        )
    missing = [name for name in names if not _covers(covered, name)]
    if missing:
        return fail(
            check,
            f"is not for {', '.join(missing)}, but for {', '.join(covered) or 'no name'}",
            remedy if authorities else "have one issued with these names, or give --name",
        )
    if authorities and not any(_is_of(certificate, each) for each in authorities):
        return fail(check, "is not of the CA in the database", _RESTART)
    words = f"for {', '.join(covered)}, ends in {span(ends_at - now)}"
    if not authorities and ends_at - now < _SOON_S:
        return warn(check, words, remedy)
    return ok(check, words)


def files(certificate: Path, key: Path) -> list[Finding]:
    """Judge the files of --tls-cert and --tls-key."""
    check = f"file {certificate}"
    try:
        read = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = load_pem_private_key(key.read_bytes(), password=None)
    except OSError as error:
        return [
            fail(
                check,
                f"{error.filename} cannot be read: {error.strerror}",
                "let the coordinator's user read it",
            )
        ]
    except UNREADABLE as error:
        return [fail(check, f"or its key is no PEM without password: {error}", "replace it")]
    if private.public_key() != read.public_key():
        return [fail(check, f"{key} is not its key", "give the key that belongs to it")]
    return [judge(check, read.public_bytes(Encoding.DER), names=(), authorities=())]


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    ]


def _covers(covered: Sequence[str], name: str) -> bool:
    if address_of(name) or "." not in name:
        return name in covered
    return name in covered or f"*.{name.partition('.')[2]}" in covered


def _is_of(certificate: x509.Certificate, authority: bytes) -> bool:
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (*UNREADABLE, InvalidSignature):
        return False
    return True
