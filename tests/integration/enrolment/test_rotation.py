"""The CA is replaced: both real ends, over TLS on the loopback, in virtual time."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from colotrace_agent.commands.brokers import broker_tls_context
from colotrace_agent.enrolment.client import Enroller, new_key, signing_request
from colotrace_agent.enrolment.state import StateDirectory
from colotrace_coordinator.authority.authority import SERVER_LIFETIME_S
from colotrace_coordinator.authority.generations import SIGNS_AFTER_S, Generations
from colotrace_coordinator.authority.sealed import Seal
from colotrace_coordinator.commands import authorities as commands
from colotrace_coordinator.enrolment.rotation import Rotation
from colotrace_coordinator.errors import EnrolmentRefusedError, SetupError
from colotrace_coordinator.store.authorities import Authorities, secret_in
from colotrace_coordinator.store.database import Database
from colotrace_coordinator.store.location import Location, locate
from colotrace_proto.bus import broker_of
from colotrace_proto.enrolment import Certified, RenewRequest, renewal_text
from colotrace_proto.join_tokens import JoinToken
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from manual_clock import ManualClock

from .test_enrolling import LIFETIME_S, Bed

SEAL = Seal("s" * 32)


class Rotated(Bed):
    """A coordinator that follows the CA."""

    generations: Generations
    authorities: Authorities
    rotation: Rotation

    async def follow(self) -> None:
        """Look as a coordinator does."""
        for _ in range(2):
            await self.rotation.look([self.server.reload_certificate])


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(locate(data=tmp_path, database=None))
    yield database
    await database.close()


@pytest.fixture
async def bed(database: Database) -> AsyncIterator[Rotated]:
    clock = ManualClock(float(int(time.time())))
    authorities = Authorities(database, clock=clock)
    generations = await authorities.open(SEAL)
    bed = Rotated(database, generations, clock)
    bed.generations, bed.authorities = generations, authorities
    async with bed.serve("127.0.0.1"):
        bed.rotation = Rotation(authorities, generations, SEAL, bed.own, lifetime_s=LIFETIME_S)
        yield bed


def signer(certified: Certified) -> x509.Name:
    return x509.load_pem_x509_certificate(certified.certificate.encode()).issuer


def signature(key: bytes, asked: str) -> bytes:
    private = load_pem_private_key(key, password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return private.sign(renewal_text(asked), ec.ECDSA(SHA256()))


async def joined(bed: Rotated, token: JoinToken, key: bytes, *, trusting: bytes) -> Certified:
    return await asyncio.to_thread(
        lambda: Enroller(bed.address).join(token, agent_id="a1", key=key, authority=trusting)
    )


async def test_agents_and_clients_of_the_former_authority_go_on(bed: Rotated) -> None:
    """Tokens that name it, too. The new one signs a minute later, and agents trust both then."""
    former = bed.generations.signing
    key, trusted = new_key(), former.certificate
    token, later = await bed.token(), await bed.token()
    first = await joined(bed, token, key, trusting=trusted)
    await bed.authorities.rotate(SEAL)
    await bed.follow()
    assert bed.generations.signing is former
    assert bed.generations.certificate.count(b"BEGIN CERTIFICATE") == 2
    bed.clock.now += SIGNS_AFTER_S
    await bed.follow()
    new = bed.generations.signing
    assert new is not former
    # The server's certificate is of the new one.
    second_key = new_key()
    pair = key + first.certificate.encode()
    second = await asyncio.to_thread(
        lambda: Enroller(bed.address).renew(pair=pair, key=second_key, authority=trusted)
    )
    assert signer(second) != signer(first)
    assert second.authority.encode() == trusted + new.certificate
    # A token from before the rotation.
    found = await asyncio.to_thread(lambda: Enroller(bed.address).authority(later.authority))
    assert found == trusted
    other = await asyncio.to_thread(
        lambda: Enroller(bed.address).join(later, agent_id="a2", key=new_key(), authority=found)
    )
    assert signer(other) == signer(second)
    for trust in (trusted, new.certificate, second.authority.encode()):
        context = ssl.create_default_context(cadata=trust.decode())
        async with httpx.AsyncClient(verify=context) as client:
            assert (await client.get(f"https://{bed.address}/ca")).status_code == 200


async def test_former_authority_is_retired_once_all_has_ended(bed: Rotated) -> None:
    former = bed.generations.signing
    key = new_key()
    first = await joined(bed, await bed.token(), key, trusting=former.certificate)
    await bed.authorities.rotate(SEAL)
    with pytest.raises(SetupError, match="still trusted"):
        await bed.authorities.rotate(SEAL)
    with pytest.raises(SetupError, match="signs in 60 s"):
        await bed.authorities.retire()
    bed.clock.now += SIGNS_AFTER_S + max(LIFETIME_S, SERVER_LIFETIME_S)
    await bed.follow()
    assert len(bed.generations.trusted) == 2
    bed.clock.now += 1
    await bed.follow()
    [only] = bed.generations.trusted
    assert only.authority is not former
    assert [each.id for each in await bed.authorities.all()] == [only.number]
    # Asked of the registrar itself: the real clock of TLS is behind by a month.
    asked = signing_request(new_key())
    request = RenewRequest(
        certificate=first.certificate, signing_request=asked, signature=signature(key, asked)
    )
    with pytest.raises(EnrolmentRefusedError, match=r"not of this coordinator's CA.*join anew"):
        await bed.registrar.renew(request)
    await bed.authorities.rotate(SEAL)


async def test_agent_trusts_a_retired_authority_no_more_at_the_broker(
    bed: Rotated, tmp_path: Path
) -> None:
    """From the renewal on that brings it the new one alone."""
    former, key = bed.generations.signing, new_key()
    joined_as = await joined(bed, await bed.token(), key, trusting=former.certificate)
    state = StateDirectory(tmp_path)
    files = {"authority": state.authority, "certificate": state.agent, "key": state.agent}

    def trusted(certificate: str) -> list[bytes]:
        state.agent.write_bytes(key + certificate.encode())
        state.authority.write_bytes(bed.generations.certificate)
        return broker_tls_context(broker_of("mqtts://h"), files, None).get_ca_certs(
            binary_form=True
        )

    await bed.authorities.rotate(SEAL)
    bed.clock.now += SIGNS_AFTER_S
    await bed.follow()
    assert len(trusted(joined_as.certificate)) == 2
    await bed.authorities.retire()
    await bed.follow()
    assert trusted(joined_as.certificate) == [
        ssl.PEM_cert_to_DER_cert(bed.generations.signing.certificate.decode())
    ]


async def test_coordinator_without_the_new_secret_goes_on_with_what_it_knows(
    bed: Rotated, database: Database
) -> None:
    other = Seal("t" * 32)
    await bed.authorities.reseal(SEAL, other)
    with pytest.raises(SetupError, match="with this secret"):
        await bed.authorities.open(SEAL)
    again = await bed.authorities.open(other)
    assert again.certificate == bed.generations.certificate
    await bed.authorities.rotate(other)
    bed.clock.now += SIGNS_AFTER_S
    await bed.follow()
    assert len(bed.generations.trusted) == 1


@pytest.fixture
def where(tmp_path: Path) -> Location:
    return locate(data=tmp_path / "data", database=None)


def created(where: Location, secret: Path) -> None:
    async def create() -> None:
        database = await Database.open(where)
        await Authorities(database).open(Seal(secret_in(secret)))
        await database.close()

    asyncio.run(create())


def test_secret_is_replaced_by_a_command(
    where: Location, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the file, or by another file; also after a run that ended in between."""
    file, other = tmp_path / "ca.secret", tmp_path / "other"
    created(where, file)
    first = file.read_text()
    commands.reseal(where, secret="", secret_file=file, new_file=None)
    assert file.read_text() != first
    commands.rotate(where, secret="", secret_file=file)
    commands.reseal(where, secret="", secret_file=file, new_file=other)
    with pytest.raises(SetupError, match="with this secret"):
        commands.reseal(where, secret="", secret_file=file, new_file=tmp_path / "third")
    # It ended before it had replaced the file.
    (tmp_path / "other.new").write_text("n" * 32)
    commands.reseal(where, secret="", secret_file=other, new_file=tmp_path / "other.new")
    commands.reseal(where, secret="", secret_file=other, new_file=None)
    assert other.read_text() == "n" * 32
    capsys.readouterr()
    commands.show(where)
    assert capsys.readouterr().out.count("BEGIN CERTIFICATE") == 2
    with pytest.raises(SetupError, match="signs in"):
        commands.retire(where)
