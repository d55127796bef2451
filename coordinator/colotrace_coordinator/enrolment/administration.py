"""What operators do with agents, join tokens and colos: by commands, the API and the page alike.

Everything is written to the database. Running coordinators look there twice a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from colotrace_proto.identifiers import (
    COLO_SYNTAX,
    IDENTIFIER_SYNTAX,
    is_address,
    is_colo_name,
    is_identifier,
    with_ascii_host,
)
from colotrace_proto.join_tokens import JoinToken
from colotrace_proto.messages import ColoName
from colotrace_proto.text import safe
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from colotrace_coordinator.errors import (
    NoAuthorityError,
    NotEnrolledError,
    SetupError,
    StillAttachedError,
    UnknownIdError,
)
from colotrace_coordinator.store.authorities import Authorities
from colotrace_coordinator.store.colos import ColoStore, RememberedColo
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.enrolments import Enrolments
from colotrace_coordinator.store.listed import ListedAgent, ListedAgents
from colotrace_coordinator.store.renaming import Renaming
from colotrace_coordinator.store.seen import forget_seen
from colotrace_coordinator.store.tables import Enrolment, StoredAuthority

MOST_OF_CITY = 128


@dataclass(frozen=True, slots=True)
class FreshToken:
    """A new join token: its id, and its text, which is never shown again."""

    id: str
    token: str


class Administration:
    """The administration of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._agents = EnrolledAgents(database)
        self._enrolments = Enrolments(database)
        self._listed = ListedAgents(database)
        self._colos = ColoStore(database)

    async def agents(self) -> list[ListedAgent]:
        """All agents, by colo and id."""
        return await self._listed.all()

    async def agent(self, name: str) -> ListedAgent:
        """See `ListedAgents.named`."""
        _refuse_unprintable(name)
        return await self._listed.named(name)

    async def drain(self, name: str, *, drained: bool) -> ListedAgent:
        """Give an agent no new jobs, or some again.

        Raises:
            NotEnrolledError: the agent did not enrol.
            UnknownIdError: there is no such agent, or it was revoked.
        """
        agent = await self._live(name)
        await self._agents.drain(agent.id, drained=drained)
        return await self._listed.named(agent.id)

    async def revoke(self, name: str) -> ListedAgent:
        """Refuse an agent and its certificates from now on.

        Raises:
            NotEnrolledError: the agent did not enrol.
            UnknownIdError: there is no such agent.
        """
        agent = await self._enrolled(name)
        await self._agents.revoke(agent.id)
        return await self._listed.named(agent.id)

    async def forget(self, name: str) -> ListedAgent:
        """Revoke an agent, and list it no more; one that did not enrol is only listed no more.

        Raises:
            StillAttachedError: an agent that did not enrol is attached.
            UnknownIdError: there is no such agent.
        """
        agent = await self.agent(name)
        if agent.id:
            await self._agents.forget(agent.id)
        elif agent.attached_since is not None:
            raise StillAttachedError(
                f"{agent.name} is attached, with a certificate that is not of this coordinator's "
                "CA; stop it first"
            )
        else:
            await forget_seen(self._database, agent.colo, agent.agent_id)
        return agent

    async def rename(self, name: str, new: str, *, city: str = "") -> ListedAgent:
        """Give an agent another id, or as COLO/AGENT-ID another colo, too. Its jobs go on.

        Raises:
            NameTakenError: another agent has that name.
            NotEnrolledError: the agent did not enrol.
            SetupError: the new name is malformed.
            UnknownIdError: there is no such agent, or it was revoked.
        """
        agent = await self._live(name)
        colo, slash, agent_id = new.rpartition("/")
        colo = checked_colo(colo) if slash else agent.colo
        if not is_identifier(agent_id):
            raise SetupError(
                f"{safe(new)}: an agent's id has {IDENTIFIER_SYNTAX}; with another colo it is "
                "COLO/AGENT-ID"
            )
        await Renaming(self._database).agent(
            agent.id, colo=colo, agent_id=agent_id, city=_city(city)
        )
        return await self._listed.named(agent.id)

    async def enroll(
        self, *, colo: str, city: str, uses: int, lifetime_s: float, address: str = ""
    ) -> FreshToken:
        """A join token for `uses` agents of a colo. `address`: where they reach --join of a
        coordinator; that of the one that started last by default.

        Raises:
            NoAuthorityError: no coordinator with a CA has served yet.
            SetupError: a value is malformed.
            TooManyTokensError: as many are valid as may be.
        """
        colo, city = checked_colo(colo), _city(city)
        if not city:
            raise SetupError('city: give the city of the colo, like "Denver, CO, US"')
        authority = await self.authority()
        at = with_ascii_host(address) or authority.address
        if not is_address(at):
            raise SetupError(
                f"address {safe(at)}: give HOST:PORT at which agents reach --join of a coordinator"
            )
        issued = await self._enrolments.issue(
            ColoName(colo), city=city, uses=uses, lifetime_s=lifetime_s
        )
        certificate = x509.load_pem_x509_certificate(authority.certificate)
        token = JoinToken(
            address=at,
            colo=ColoName(colo),
            authority=certificate.fingerprint(SHA256()),
            secret=issued.secret,
        )
        return FreshToken(issued.id, token.encode())

    async def tokens(self) -> Sequence[Enrolment]:
        """All join tokens, oldest first."""
        return await self._enrolments.all()

    async def revoke_token(self, token_id: str) -> None:
        """Let nobody enrol with a join token any more.

        Raises:
            UnknownIdError: there is no such token.
        """
        _refuse_unprintable(token_id)
        await self._enrolments.revoke(token_id)

    async def colos(self) -> Sequence[RememberedColo]:
        """All known colos, by name."""
        return await self._colos.all()

    async def rename_colo(self, old: str, new: str, *, city: str = "") -> int:
        """Give the enrolled agents of a colo to another name, or to another city if the name is the
        same; returns how many they are. Their jobs go on.

        Raises:
            NameTakenError: an agent of the other colo has the id of one of this one.
            SetupError: the new name is malformed, or nothing is to change.
            UnknownIdError: the colo has no enrolled agent.
        """
        old, new, city = old.lower(), checked_colo(new), _city(city)
        if old == new and not city:
            raise SetupError(f"{new} is the name already; give another one, or a city")
        _refuse_unprintable(old)
        return await Renaming(self._database).colo(old, new, city=city)

    async def forget_colo(self, name: str) -> None:
        """Delete a colo. Coordinators forget it within a minute if no agent of it is attached.

        Raises:
            UnknownIdError: the colo is not known.
        """
        _refuse_unprintable(name)
        if not await self._colos.forget([name.lower()]):
            raise UnknownIdError(f"no colo {safe(name)} is known; see: colo list")

    async def authority(self) -> StoredAuthority:
        """The CA, without its key.

        Raises:
            NoAuthorityError: there is none yet.
        """
        authority = await Authorities(self._database).described()
        if authority is None or not authority.address:
            raise NoAuthorityError
        return authority

    async def _enrolled(self, name: str) -> ListedAgent:
        agent = await self.agent(name)
        if not agent.id:
            raise NotEnrolledError(
                f"{agent.name} has not enrolled: it attaches without a certificate, or with one of "
                "another CA, and only that CA or the agent's host can change this"
            )
        return agent

    async def _live(self, name: str) -> ListedAgent:
        agent = await self._enrolled(name)
        if agent.revoked_at is not None:
            raise UnknownIdError(f"{agent.name} was revoked")
        return agent


def checked_colo(name: str) -> ColoName:
    """The name of a colo, in lower case.

    Raises:
        SetupError: it is malformed.
    """
    if not is_colo_name(name.lower()):
        raise SetupError(f"colo {safe(name)}: a colo is {COLO_SYNTAX}")
    return ColoName(name.lower())


def _city(text: str) -> str:
    return safe(text.strip())[:MOST_OF_CITY]


def _refuse_unprintable(name: str) -> None:
    """Nothing has such a name, and PostgreSQL fails when it is asked for some of them.

    Raises:
        UnknownIdError: it has control characters, or parts of characters.
    """
    if not name.isprintable():
        raise UnknownIdError(f"nothing is called {safe(name)}")
