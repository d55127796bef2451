"""The coordinator's own CA, and the agents that it has certified."""

from dataclasses import dataclass

from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.enrolment.known import KnownAgents
from colotrace_coordinator.enrolment.own_certificate import OwnCertificate
from colotrace_coordinator.enrolment.registrar import Registrar
from colotrace_coordinator.enrolment.rotation import Rotation
from colotrace_coordinator.own_names import LOCAL_NAMES
from colotrace_coordinator.store.authorities import Authorities, secret_in
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.enrolments import Enrolments

from .base import Base, Store


@dataclass(frozen=True, slots=True)
class Enrolling:
    """The coordinator's own CA, and the agents that it has certified."""

    authorities: Authorities
    certificate: OwnCertificate
    rotation: Rotation
    known: KnownAgents
    registrar: Registrar
    tokens: Enrolments


async def open_enrolling(base: Base, store: Store) -> Enrolling | None:
    """The coordinator's own CA; None if agents have certificates of another one, or none.

    Raises:
        SetupError: the secret of the CA's key is wrong.
    """
    wanted = base.settings.authority
    if wanted is None:
        return None
    secret = wanted.secret
    if not secret and wanted.secret_file is not None:
        secret = secret_in(wanted.secret_file)
    authorities = Authorities(store.database)
    seal = Seal(secret)
    authority = await authorities.open(seal)
    agents = EnrolledAgents(store.database)
    known = KnownAgents(agents, by_certificate=base.settings.mqtt is not None)
    await known.load()
    names = tuple(dict.fromkeys((*wanted.names, *LOCAL_NAMES)))
    certificate, tokens = OwnCertificate(authority, names), Enrolments(store.database)
    base.metrics.own_certificate_end.set_function(lambda: certificate.ends_at)
    base.metrics.authority_end.set_function(lambda: authority.ends_at)
    return Enrolling(
        authorities,
        certificate,
        Rotation(authorities, authority, seal, certificate, lifetime_s=wanted.lifetime_s),
        known,
        Registrar(authority, tokens, agents, lifetime_s=wanted.lifetime_s),
        tokens,
    )
