"""Certifies agents: those that join with a token, and those that renew their certificates."""

import time
from collections.abc import Callable

import structlog
from colotrace_proto.certificates import UNREADABLE
from colotrace_proto.enrolment import (
    JOIN_ANEW,
    RENEWABLE_S,
    Certified,
    JoinRequest,
    RenewRequest,
    renewal_text,
)
from colotrace_proto.identifiers import IDENTIFIER_SYNTAX, is_identifier
from colotrace_proto.messages import AgentId, ColoName
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from colotrace_coordinator.authority.authority import (
    Issuer,
    key_fingerprint,
    requested_key,
)
from colotrace_coordinator.authority.identity import AgentIdentity, identity_of
from colotrace_coordinator.errors import EnrolmentRefusedError
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.enrolments import Enrolments

_COPIED = (
    "its certificate was renewed by two: somebody may have copied its key, or its host was set "
    "back to an earlier state"
)

log = structlog.get_logger(__name__)


class Registrar:
    """Certifies agents of one CA."""

    def __init__(
        self,
        authority: Issuer,
        enrolments: Enrolments,
        agents: EnrolledAgents,
        *,
        lifetime_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authority = authority
        self._enrolments = enrolments
        self._agents = agents
        self.coordinator = ""
        """The address at which agents attach, HOST:PORT; set it before the first request."""
        self.broker = ""
        self.broker_authority = ""
        """URL of the broker at which agents take jobs, and the CA of its certificate, PEM; ""
        without a broker, or if the CA is this one."""
        self.suspected: Callable[[ColoName, AgentId, str], None] = lambda *_: None
        """Called with the name of an agent whose key may have been copied, and why."""
        self._lifetime_s = lifetime_s
        self._clock = clock

    @property
    def authority(self) -> bytes:
        """The CA's certificate, PEM; two while one replaces the other."""
        return self._authority.certificate

    async def join(self, request: JoinRequest) -> Certified:
        """Enrol an agent.

        Raises:
            EnrolmentRefusedError: the agent may not join so.
            SigningRequestError: the request for a certificate is not accepted.
            StoreUnavailableError: the database does not answer.
        """
        if not is_identifier(request.agent_id):
            raise EnrolmentRefusedError(f"an agent's id has {IDENTIFIER_SYNTAX}")
        key = requested_key(request.signing_request.encode())
        joined = await self._enrolments.join(
            request.secret,
            agent_id=AgentId(request.agent_id),
            key_sha256=key_fingerprint(key),
            lifetime_s=self._lifetime_s,
        )
        certificate, ends_at = self._authority.for_agent(
            joined.identity, key, lifetime_s=self._lifetime_s
        )
        return self._certified(joined.identity, joined.city, certificate, ends_at)

    async def renew(self, request: RenewRequest) -> Certified:
        """Replace the certificate of an enrolled agent, which may have ended some days ago.

        Raises:
            EnrolmentRefusedError: the certificate cannot be renewed.
            SigningRequestError: the request for a certificate is not accepted.
            StoreUnavailableError: the database does not answer.
        """
        identity, shown = self._identity(request)
        key = requested_key(request.signing_request.encode())
        agent = await self._agents.find(identity.id)
        if agent is None or agent.revoked_at is not None:
            raise EnrolmentRefusedError(f"this agent was revoked; {JOIN_ANEW}")
        if agent.key_sha256 not in (shown, key_fingerprint(key)):
            # Not an answer that was lost: an agent would ask for the same key again.
            log.warning("agent_renewed_twice", agent=agent.agent_id, colo=agent.colo)
            self.suspected(ColoName(agent.colo), AgentId(agent.agent_id), _COPIED)
        named = identity
        if not request.keeps_name or not await self._agents.has_name(identity.id, identity.name):
            # Its name is that of the list, which an operator can have changed.
            named = AgentIdentity(identity.id, ColoName(agent.colo), AgentId(agent.agent_id))
        certificate, ends_at = self._authority.for_agent(named, key, lifetime_s=self._lifetime_s)
        renewed = await self._agents.renewed(
            identity.id, key_sha256=key_fingerprint(key), ends_at=ends_at, name=named.name
        )
        if not renewed:
            raise EnrolmentRefusedError(f"this agent was revoked; {JOIN_ANEW}")
        return self._certified(named, agent.city, certificate, ends_at)

    def _identity(self, request: RenewRequest) -> tuple[AgentIdentity, str]:
        """Whose the certificate is, and the hash of its key, if the request was signed by that."""
        try:
            certificate = x509.load_pem_x509_certificate(request.certificate.encode())
            key, ends_at = certificate.public_key(), certificate.not_valid_after_utc.timestamp()
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            identity = identity_of(names.value.get_values_for_type(x509.UniformResourceIdentifier))
        except (*UNREADABLE, x509.ExtensionNotFound) as error:
            raise EnrolmentRefusedError(f"the certificate cannot be read: {error}") from error
        if identity is None or not self._authority.has_signed(certificate):
            raise EnrolmentRefusedError(
                f"the certificate is not of this coordinator's CA; {JOIN_ANEW}"
            )
        if ends_at + RENEWABLE_S < self._clock():
            raise EnrolmentRefusedError(
                f"the certificate ended more than {RENEWABLE_S / 86_400:g} days ago; {JOIN_ANEW}"
            )
        if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_signed(request, key):
            raise EnrolmentRefusedError("the request is not signed by the key of the certificate")
        return identity, key_fingerprint(key)

    def _certified(
        self, identity: AgentIdentity, city: str, certificate: bytes, ends_at: float
    ) -> Certified:
        return Certified(
            colo=identity.colo,
            city=city,
            agent_id=identity.agent_id,
            certificate=certificate.decode(),
            coordinator=self.coordinator,
            ends_at=ends_at,
            mqtt=self.broker,
            mqtt_ca=self.broker_authority,
            authority=self.authority.decode(),
        )


def _is_signed(request: RenewRequest, key: ec.EllipticCurvePublicKey) -> bool:
    try:
        key.verify(request.signature, renewal_text(request.signing_request), ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
