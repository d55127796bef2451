"""Messages of enrolment: JSON over HTTPS, between an agent and the coordinator.

An agent joins with the secret of its join token, and later renews its certificate with a signature
by the key of the one before. The answer to both is `Certified`.
"""

from typing import TypeVar

import msgspec

AUTHORITY_PATH = "/ca"
"""GET: the CA's certificate, PEM."""
JOIN_PATH = "/join"
RENEW_PATH = "/renew"
MAX_MESSAGE = 65_536
"""Bytes of a message."""
RENEWABLE_S = 30 * 86_400.0
"""For so long after its end a certificate can still be renewed: a host may have been off."""
JOIN_ANEW = (
    "join anew: run colotrace-coordinator agent forget COLO/ID and agent enroll, remove the "
    "agent's state directory, and paste the line"
)
"""The remedy for an agent whose certificate is of no use any more."""
_SIGNED = b"colotrace renewal of a certificate\n"
M = TypeVar("M", bound=msgspec.Struct)


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`signing_request` is PEM (PKCS #10)."""

    secret: bytes
    agent_id: str
    signing_request: str


class RenewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`certificate` is the one to replace, PEM. `signature` is that of `renewal_text`, by its key
    (ECDSA with SHA-256). `keeps_name`: the agent runs under the name in its certificate, and cannot
    take another one before it starts again."""

    certificate: str
    signing_request: str
    signature: bytes
    keeps_name: bool = False


class Certified(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's certificate, PEM, with what it is for. A certificate of the CA by a former one may
    follow it, to be shown with it. `authority`: what the agent is to trust from now on, PEM.

    `coordinator` is the address at which agents attach, HOST:PORT. `ends_at`: Unix seconds. `mqtt`:
    URL of the broker at which agents take jobs, "" without one; `mqtt_ca`: the CA of its
    certificate, PEM, "" if that is the coordinators'. Older coordinators send none of the last
    three."""

    colo: str
    city: str
    agent_id: str
    certificate: str
    coordinator: str
    ends_at: float
    mqtt: str = ""
    mqtt_ca: str = ""
    authority: str = ""


class EnrolmentMessageError(ValueError):
    """A message is malformed; the text says where."""


def renewal_text(signing_request: str) -> bytes:
    """The bytes that an agent signs to renew its certificate."""
    return _SIGNED + signing_request.encode()


def decode(body: bytes, kind: type[M]) -> M:
    """The message in a body.

    Raises:
        EnrolmentMessageError: it is larger than `MAX_MESSAGE`, not JSON, or not of this kind.
    """
    if len(body) > MAX_MESSAGE:
        raise EnrolmentMessageError(f"the message has more than {MAX_MESSAGE:,} bytes")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise EnrolmentMessageError(f"the message cannot be read: {error}") from error
