"""Join tokens: the one word that an operator pastes on a probe host to enrol its agent.

A token has the address at which the agent enrols, its colo, the hash of the certificate authority
(CA), and a secret. The agent sends the secret only to a server whose certificate is from the CA
with this hash.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field

from .identifiers import is_address, is_colo_name
from .messages import ColoName

PREFIX = "ctj_"
"""Secret scanners recognise it."""
HASH_BYTES = 32
SECRET_BYTES = 16
MAX_TOKEN = 512
"""Characters."""
_CHECK_BYTES = 4


class JoinTokenError(ValueError):
    """The text is not a join token; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """`address`: HOST:PORT. `authority`: SHA-256 of the CA's certificate in DER, 32 bytes.
    `secret`: 16 bytes."""

    address: str
    colo: ColoName
    authority: bytes
    secret: bytes = field(repr=False)

    def encode(self) -> str:
        """The text to paste: `ctj_` and URL-safe base64."""
        payload = self.authority + self.secret + f"{self.colo} {self.address}".encode("ascii")
        packed = base64.urlsafe_b64encode(payload + _check(payload))
        return PREFIX + packed.decode("ascii").rstrip("=")


def parse_join_token(text: str) -> JoinToken:
    """The token that the text is.

    Raises:
        JoinTokenError: it is none, or was not copied whole.
    """
    text = text.strip()
    if not text.startswith(PREFIX):
        raise JoinTokenError(
            f"this is no join token: one begins with {PREFIX}; copy the last line that "
            "colotrace-coordinator agent enroll printed"
        )
    if len(text) > MAX_TOKEN:
        raise JoinTokenError(f"this is no join token: one has at most {MAX_TOKEN} characters")
    packed = text.removeprefix(PREFIX)
    try:
        whole = base64.b64decode(
            packed.encode("ascii") + b"=" * (-len(packed) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, UnicodeEncodeError):
        raise _incomplete() from None
    payload, check = whole[:-_CHECK_BYTES], whole[-_CHECK_BYTES:]
    if check != _check(payload):
        raise _incomplete()
    authority, rest = payload[:HASH_BYTES], payload[HASH_BYTES:]
    secret, names = rest[:SECRET_BYTES], rest[SECRET_BYTES:]
    colo, _, address = names.decode("ascii", "replace").partition(" ")
    if len(secret) != SECRET_BYTES or not is_colo_name(colo) or not is_address(address):
        raise JoinTokenError("this join token is of another version of colotrace; upgrade this one")
    return JoinToken(address=address, colo=ColoName(colo), authority=authority, secret=secret)


def _check(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()[:_CHECK_BYTES]


def _incomplete() -> JoinTokenError:
    return JoinTokenError("this join token was not copied whole; copy it again")
