"""Agents ask the coordinator for certificates: both real ends, over TLS on the loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from colotrace_agent.enrolment.client import Enroller, EnrolmentError, new_key, signing_request
from colotrace_agent.errors import StartError
from colotrace_coordinator.api.app import create_enrolment_app
from colotrace_coordinator.api.http.server import HttpServer
from colotrace_coordinator.api.metrics import HttpMetrics
from colotrace_coordinator.authority.authority import Authority
from colotrace_coordinator.authority.generations import Generations
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.enrolment.own_certificate import OwnCertificate
from colotrace_coordinator.enrolment.registrar import Registrar
from colotrace_coordinator.links.direct.tls import agent_certificate
from colotrace_coordinator.listen import Address, listen
from colotrace_coordinator.store.authorities import Authorities
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.enrolled import EnrolledAgents
from colotrace_coordinator.store.enrolments import Enrolments
from colotrace_coordinator.store.location import locate
from colotrace_coordinator.store.renaming import Renaming
from colotrace_proto.enrolment import MAX_MESSAGE, RENEWABLE_S, Certified
from colotrace_proto.join_tokens import JoinToken
from colotrace_proto.messages import ColoName
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from manual_clock import ManualClock
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

LIFETIME_S = 7 * 86_400.0
DEN = ColoName("den01")


class Bed:
    """A coordinator's listener for enrolment, and an agent's side."""

    def __init__(
        self, database: Database, authority: Authority | Generations, clock: ManualClock
    ) -> None:
        self.authority = authority
        self.clock = clock
        self.agents = EnrolledAgents(database, clock=clock)
        self.enrolments = Enrolments(database, clock=clock)
        self.registrar = Registrar(
            authority, self.enrolments, self.agents, lifetime_s=LIFETIME_S, clock=clock
        )
        self._renaming = Renaming(database)
        self.registrar.coordinator = "trace.example.net:8081"
        self.address = ""

    @asynccontextmanager
    async def serve(self, *names: str) -> AsyncIterator[Bed]:
        """Serve with a certificate for these names."""
        app = create_enrolment_app(self.registrar, metrics=HttpMetrics(CollectorRegistry()))
        self.own = OwnCertificate(self.authority, names)
        self.server = server = HttpServer(app, tls=self.own)
        sockets = listen(Address("127.0.0.1", 0), flag="--join")
        self.address = f"127.0.0.1:{sockets[0].getsockname()[1]}"
        serving = asyncio.create_task(server.serve(sockets))
        try:
            yield self
        finally:
            server.stop()
            await serving

    async def token(self, **changed: bytes) -> JoinToken:
        """A join token for one agent of den01."""
        secret = (await self.enrolments.issue(DEN, city="Denver", uses=1, lifetime_s=3_600)).secret
        certificate = x509.load_pem_x509_certificate(self.authority.certificate)
        parts = {"authority": certificate.fingerprint(SHA256()), "secret": secret, **changed}
        return JoinToken(address=self.address, colo=DEN, **parts)

    async def join(self, token: JoinToken, key: bytes, agent_id: str = "a1") -> Certified:
        """Join as an agent does."""
        enroller = Enroller(token.address)
        authority = await asyncio.to_thread(enroller.authority, token.authority)
        assert authority == self.authority.certificate
        return await asyncio.to_thread(
            lambda: enroller.join(token, agent_id=agent_id, key=key, authority=authority)
        )

    async def rename(self, identity: str, agent_id: str) -> None:
        """Give an agent of den01 another id."""
        await self._renaming.agent(identity, colo=DEN, agent_id=agent_id)

    async def renew(
        self, certified: Certified, old_key: bytes, key: bytes, *, keeps_name: bool = False
    ) -> Certified:
        """Renew as an agent does; one that takes jobs at a broker keeps its name."""
        pair = old_key + certified.certificate.encode()
        authority = self.authority.certificate
        return await asyncio.to_thread(
            lambda: Enroller(self.address).renew(
                pair=pair, key=key, authority=authority, keeps_name=keeps_name
            )
        )


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    database = await Database.open(locate(data=tmp_path, database=None))
    try:
        clock = ManualClock(float(int(time.time())))
        authority = await Authorities(database, clock=clock).open(Seal("s" * 32))
        async with Bed(database, authority, clock).serve("127.0.0.1") as bed:
            yield bed
    finally:
        await database.close()


def public(key: bytes) -> object:
    return load_pem_private_key(key, password=None).public_key()


async def test_agent_joins_with_its_own_key(bed: Bed) -> None:
    key = new_key()
    certified = await bed.join(await bed.token(), key)
    named = (certified.colo, certified.city, certified.agent_id, certified.coordinator)
    assert named == ("den01", "Denver", "a1", "trace.example.net:8081")
    certificate = certified.certificate.encode()
    read = agent_certificate(certificate)
    assert read.identity is not None
    assert (read.identity.colo, read.identity.agent_id) == ("den01", "a1")
    assert read.expires_at == certified.ends_at == bed.clock.now + LIFETIME_S
    assert x509.load_pem_x509_certificate(certificate).public_key() == public(key)
    [listed] = await bed.agents.all()
    assert listed.id == read.identity.id


async def test_certificate_is_renewed_for_a_new_key(bed: Bed) -> None:
    first_key, second_key = new_key(), new_key()
    first = await bed.join(await bed.token(), first_key)
    bed.clock.now += LIFETIME_S / 2
    second = await bed.renew(first, first_key, second_key)
    assert second.ends_at == bed.clock.now + LIFETIME_S
    certificate = second.certificate.encode()
    assert x509.load_pem_x509_certificate(certificate).public_key() == public(second_key)
    [listed] = await bed.agents.all()
    assert listed.certificate_ends_at == second.ends_at
    identities = [agent_certificate(each.certificate.encode()).identity for each in (first, second)]
    assert identities[0] == identities[1]


async def test_copied_key_is_noticed_when_both_renew(bed: Bed) -> None:
    """Not if an answer was lost: the agent asks again for the same key."""
    suspected: list[tuple[str, str]] = []
    bed.registrar.suspected = lambda colo, agent, _: suspected.append((colo, agent))
    first_key, second_key = new_key(), new_key()
    first = await bed.join(await bed.token(), first_key)
    for _ in range(2):
        second = await bed.renew(first, first_key, second_key)
    third = await bed.renew(second, second_key, new_key())
    assert suspected == []
    # A thief has the first key, or the second one.
    await bed.renew(first, first_key, new_key())
    await bed.renew(second, second_key, new_key())
    assert suspected == [("den01", "a1")] * 2
    assert third.agent_id == "a1"


async def test_renamed_agent_does_not_get_its_former_name_back(bed: Bed) -> None:
    """Neither by the certificate that it had before, nor if another agent has the name by now: at a
    broker it could pass for that agent."""
    first, second, third = new_key(), new_key(), new_key()
    before = await bed.join(await bed.token(), first)
    (agent,) = await bed.agents.all()
    await bed.rename(agent.id, "b1")
    kept = await bed.renew(before, first, second, keeps_name=True)
    assert kept.agent_id == "a1"  # it has not finished its jobs
    await bed.join(await bed.token(), new_key(), "a1")
    moved = await bed.renew(kept, second, third, keeps_name=True)
    assert moved.agent_id == "b1"
    await bed.agents.forget((await bed.agents.all())[0].id)
    again = await bed.renew(kept, second, new_key(), keeps_name=True)
    assert again.agent_id == "b1"


async def test_expired_certificate_is_renewed_for_some_days(bed: Bed) -> None:
    key = new_key()
    certified = await bed.join(await bed.token(), key)
    bed.clock.now += LIFETIME_S + RENEWABLE_S
    certified = await bed.renew(certified, key, key)
    bed.clock.now += LIFETIME_S + RENEWABLE_S + 1
    with pytest.raises(EnrolmentError, match="more than 30 days ago; join anew"):
        await bed.renew(certified, key, key)


async def test_revoked_agent_gets_no_new_certificate(bed: Bed) -> None:
    key = new_key()
    certified = await bed.join(await bed.token(), key)
    [listed] = await bed.agents.all()
    await bed.agents.revoke(listed.id)
    with pytest.raises(EnrolmentError, match="this agent was revoked"):
        await bed.renew(certified, key, new_key())


async def test_stolen_certificate_is_of_no_use_without_its_key(bed: Bed) -> None:
    certified = await bed.join(await bed.token(), new_key())
    with pytest.raises(EnrolmentError, match="not signed by the key of the certificate"):
        await bed.renew(certified, new_key(), new_key())


async def test_certificate_of_another_ca_is_not_renewed(bed: Bed) -> None:
    key = new_key()
    certified = await bed.join(await bed.token(), key)
    identity = agent_certificate(certified.certificate.encode()).identity
    assert identity is not None
    mine = public(key)
    forged, _ = Authority.create(clock=bed.clock).for_agent(
        identity,
        mine,  # type: ignore[arg-type]
        lifetime_s=LIFETIME_S,
    )
    other = Certified(**{**_fields(certified), "certificate": forged.decode()})
    with pytest.raises(EnrolmentError, match="not of this coordinator's CA"):
        await bed.renew(other, key, new_key())


def _fields(certified: Certified) -> dict[str, object]:
    return {name: getattr(certified, name) for name in certified.__struct_fields__}


@pytest.mark.parametrize("wrong", [{"ends_at": 1e300}, {"ends_at": 0.0}, {"certificate": "x"}])
async def test_answer_that_is_of_no_use_is_refused(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, object]
) -> None:
    """It would replace a certificate with which the agent can attach and renew."""
    key = new_key()
    certified = await bed.join(await bed.token(), key)

    async def answered(_: object) -> Certified:
        return Certified(**{**_fields(certified), **wrong})

    monkeypatch.setattr(bed.registrar, "renew", answered)
    with pytest.raises(EnrolmentError, match="not for this agent's key, or does not end"):
        await bed.renew(certified, key, key)


async def test_certificate_of_another_key_is_refused(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = new_key()
    certified = await bed.join(await bed.token(), key)

    async def answered(_: object) -> Certified:
        return certified

    monkeypatch.setattr(bed.registrar, "renew", answered)
    with pytest.raises(EnrolmentError, match="not for this agent's key"):
        await bed.renew(certified, key, new_key())


def test_damaged_key_names_the_remedy() -> None:
    with pytest.raises(StartError, match="remove the state directory"):
        signing_request(b"junk")


async def test_secret_is_told_to_no_other_ca(bed: Bed) -> None:
    """Somebody answers in the coordinator's place."""
    with pytest.raises(EnrolmentError, match="another certificate authority"):
        await bed.join(await bed.token(authority=bytes(32)), new_key())
    other = await bed.token()
    async with Bed(None, Authority.create(), bed.clock).serve("127.0.0.1") as impostor:  # type: ignore[arg-type]
        enroller = Enroller(impostor.address)
        with pytest.raises(EnrolmentError, match="of another certificate authority"):
            await asyncio.to_thread(
                lambda: enroller.join(
                    other, agent_id="a1", key=new_key(), authority=bed.authority.certificate
                )
            )


async def test_address_that_the_certificate_lacks_names_the_flag(bed: Bed) -> None:
    async with bed.serve("trace.example.net"):
        with pytest.raises(EnrolmentError, match=r"is not for 127\.0\.0\.1; .* --name"):
            await bed.join(await bed.token(), new_key())


async def test_refusals_have_the_coordinators_words(bed: Bed) -> None:
    with pytest.raises(EnrolmentError, match="does not know this join token"):
        await bed.join(await bed.token(secret=bytes(16)), new_key())
    with pytest.raises(EnrolmentError, match="an agent's id has 1 to 64 letters"):
        await bed.join(await bed.token(), new_key(), "a b")


async def test_port_where_nothing_or_something_else_answers(bed: Bed) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(EnrolmentError, match="cannot be reached: Connection refused"):
            await asyncio.to_thread(Enroller(f"127.0.0.1:{port}").authority, b"")

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.net ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(EnrolmentError, match="cannot be reached"):
            await asyncio.to_thread(Enroller(f"127.0.0.1:{port}").authority, b"")


async def test_other_port_of_the_coordinator_names_the_flag(bed: Bed) -> None:
    """As that of the API, which has other routes."""
    other = HttpServer(Starlette(), tls=bed.own)
    sockets = listen(Address("127.0.0.1", 0), flag="--http")
    address = f"127.0.0.1:{sockets[0].getsockname()[1]}"
    serving = asyncio.create_task(other.serve(sockets))
    with pytest.raises(EnrolmentError, match=r"is not where agents enrol: .*--join"):
        await asyncio.to_thread(Enroller(address).authority, b"")
    other.stop()
    await serving


def test_name_that_does_not_resolve_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(EnrolmentError, match="does not resolve the name"):
        Enroller("trace.example.net:8082").authority(b"")


@asynccontextmanager
async def client(bed: Bed) -> AsyncIterator[httpx.AsyncClient]:
    trust = ssl.create_default_context(cadata=bed.authority.certificate.decode())
    async with httpx.AsyncClient(verify=trust, base_url=f"https://{bed.address}") as opened:
        yield opened


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"agent_id": "a1"}, 400, "missing required field"),
        ({"secret": "AAAA", "agent_id": "a1", "signing_request": "junk"}, 400, "cannot be read"),
        ({"secret": "AAAA", "agent_id": "a1", "signing_request": "x" * 9_000}, 400, "8,192"),
        ({"secret": 1, "agent_id": "a1", "signing_request": ""}, 400, "secret"),
        ({"secret": "x" * MAX_MESSAGE}, 413, "larger than"),
        ([[]] * 100, 400, "cannot be read"),
    ],
)
async def test_malformed_requests_are_told(bed: Bed, body: object, status: int, words: str) -> None:
    async with client(bed) as opened:
        answer = await opened.post("/join", json=body)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert await bed.agents.all() == []


def test_request_has_no_names() -> None:
    asked = x509.load_pem_x509_csr(signing_request(new_key()).encode())
    assert list(asked.subject) == []
