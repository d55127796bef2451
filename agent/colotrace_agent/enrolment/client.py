"""Asks the coordinator for certificates, by HTTPS.

First the agent fetches the CA's certificate, and compares its hash with that in the join token.
Then it sends the token's secret, but only to a server with a certificate of this CA.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from email.utils import parsedate_to_datetime

import msgspec
from colotrace_proto.certificates import UNREADABLE, refused_words
from colotrace_proto.enrolment import (
    AUTHORITY_PATH,
    JOIN_PATH,
    MAX_MESSAGE,
    RENEW_PATH,
    Certified,
    EnrolmentMessageError,
    JoinRequest,
    RenewRequest,
    decode,
    renewal_text,
)
from colotrace_proto.identifiers import is_address, is_colo_name, is_identifier
from colotrace_proto.join_tokens import JoinToken
from colotrace_proto.text import safe
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from colotrace_agent.errors import StartError

ANSWER_WITHIN_S = 20.0
_CLOCK_OFF_S = 60.0


class EnrolmentError(StartError):
    """The coordinator was not reached, or refuses; the text says why and what to do."""


class OtherAuthorityError(EnrolmentError):
    """The coordinator's certificate authority is not the expected one."""


class _Line(msgspec.Struct):
    message: str


class _Envelope(msgspec.Struct):
    errors: list[_Line]
    result: msgspec.Raw


def new_key() -> bytes:
    """A new private key on P-256, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Enroller:
    """Talks to one coordinator, at HOST:PORT."""

    def __init__(self, address: str, *, within_s: float = ANSWER_WITHIN_S) -> None:
        self._address = address
        self._within_s = within_s
        self.clock_off_s = 0.0
        """By how much this host's clock is ahead of the coordinator's, if by a minute or more."""

    def authority(self, *digests: bytes) -> bytes:
        """The CA's certificate (PEM), whose hash must be one of these.

        Raises:
            OtherAuthorityError: the coordinator has another CA.
            EnrolmentError: the coordinator does not answer.
        """
        # Anybody may answer: nothing secret is sent, and the hash tells who it was.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        answer = self._ask("GET", AUTHORITY_PATH, b"", context)
        try:
            certificates = x509.load_pem_x509_certificates(answer)
        except UNREADABLE:
            raise EnrolmentError(
                f"{self._address} does not answer as a coordinator at which agents enrol; check "
                "--join of the coordinator"
            ) from None
        # There are two while one CA replaces the other.
        named = [each for each in certificates if each.fingerprint(SHA256()) in digests]
        if not named:
            raise OtherAuthorityError(
                f"{self._address} has another certificate authority than the join token names; "
                "somebody else may answer at this address, or the coordinator has a new database"
            )
        return named[0].public_bytes(Encoding.PEM)

    def join(self, token: JoinToken, *, agent_id: str, key: bytes, authority: bytes) -> Certified:
        """A certificate for the key.

        Raises:
            EnrolmentError: the coordinator does not answer, or refuses.
        """
        message = JoinRequest(
            secret=token.secret, agent_id=agent_id, signing_request=signing_request(key)
        )
        return self._certify(JOIN_PATH, message, authority, key)

    def renew(
        self, *, pair: bytes, key: bytes, authority: bytes, keeps_name: bool = False
    ) -> Certified:
        """A certificate for a new key, in place of the one in `pair`, which is there with its key.
        `keeps_name`: see `RenewRequest`.

        Raises:
            EnrolmentError: the coordinator does not answer, or refuses.
        """
        asked = signing_request(key)
        # Of the pair, the certificate alone is sent.
        certificate = x509.load_pem_x509_certificate(pair).public_bytes(Encoding.PEM)
        message = RenewRequest(
            certificate=certificate.decode(),
            signing_request=asked,
            signature=_private(pair).sign(renewal_text(asked), ec.ECDSA(SHA256())),
            keeps_name=keeps_name,
        )
        return self._certify(RENEW_PATH, message, authority, key)

    def _certify(
        self, path: str, message: JoinRequest | RenewRequest, authority: bytes, key: bytes
    ) -> Certified:
        context = ssl.create_default_context(cadata=authority.decode())
        answer = self._ask("POST", path, msgspec.json.encode(message), context)
        try:
            certified = decode(bytes(decode(answer, _Envelope).result), Certified)
        except EnrolmentMessageError as error:
            raise EnrolmentError(
                f"{self._address} answers in an unknown form: {safe(str(error))}"
            ) from error
        if not _is_valid(certified):
            raise EnrolmentError(
                f"{self._address} answers with a name or address that is malformed"
            )
        # A certificate that cannot be used must not replace one that can.
        if not _is_certificate(certified, _private(key)):
            raise EnrolmentError(
                f"{self._address} answers with a certificate that is not for this agent's key, or "
                "does not end when it says"
            )
        return certified

    def _ask(self, method: str, path: str, body: bytes, context: ssl.SSLContext) -> bytes:
        host, _, port = self._address.rpartition(":")
        connection = http.client.HTTPSConnection(
            host.strip("[]"), int(port), context=context, timeout=self._within_s
        )
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            connection.request(method, path, body=body or None, headers=headers)
            response = connection.getresponse()
            content = response.read(MAX_MESSAGE + 1)
            if response.status != 200:
                raise self._refusal(response.status, content)
            self._compare_clocks(_instant(response.headers.get("Date")))
        except ssl.SSLCertVerificationError as error:
            host = self._address.rpartition(":")[0].strip("[]")
            words = refused_words(error, host=host, now=time.time())
            raise EnrolmentError(f"{self._address}: {words}") from error
        except socket.gaierror as error:
            raise EnrolmentError(
                f"{self._address} cannot be reached: this host does not resolve the name "
                f"({safe(error.strerror or str(error))}); check its resolver, or give the "
                "coordinator a name that it resolves (--name), and make a new join token"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise EnrolmentError(
                f"{self._address} cannot be reached: {safe(reason)}; check that the coordinator "
                "runs, and that no firewall is between"
            ) from error
        finally:
            connection.close()
        return content

    def _compare_clocks(self, theirs: float | None) -> None:
        if theirs is not None:
            off_s = time.time() - theirs
            self.clock_off_s = off_s if abs(off_s) >= _CLOCK_OFF_S else 0.0

    def _refusal(self, status: int, body: bytes) -> EnrolmentError:
        if status == 404:  # another listener, such as that of the API
            return EnrolmentError(
                f"{self._address} is not where agents enrol: that is the coordinator's --join, by "
                "default port 8082; see --address of agent enroll"
            )
        try:
            words = "; ".join(safe(each.message) for each in decode(body, _Envelope).errors)
        except EnrolmentMessageError:
            words = f"status {status}; check that --join of the coordinator listens there"
        return EnrolmentError(f"{self._address} refuses: {words}")


def signing_request(key: bytes) -> str:
    """PKCS #10 for the key; the coordinator chooses the names."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(_private(key), SHA256()).public_bytes(Encoding.PEM).decode()


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        found = load_pem_private_key(key, password=None)
    except UNREADABLE:
        found = None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise StartError(
            "the agent's key is not one that colotrace has made; remove the state directory, and "
            "join anew"
        )
    return found


def _is_valid(certified: Certified) -> bool:
    if certified.authority:
        try:
            x509.load_pem_x509_certificates(certified.authority.encode())
        except UNREADABLE:
            return False
    return (
        is_colo_name(certified.colo)
        and is_identifier(certified.agent_id)
        and is_address(certified.coordinator)
    )


def _is_certificate(certified: Certified, key: ec.EllipticCurvePrivateKey) -> bool:
    try:
        read = x509.load_pem_x509_certificate(certified.certificate.encode())
        return (
            read.public_key() == key.public_key()
            and read.not_valid_after_utc.timestamp() == certified.ends_at
        )
    except UNREADABLE:
        return False


def _instant(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError):
        return None
