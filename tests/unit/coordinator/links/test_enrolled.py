"""Streams of enrolled agents: who they are says their certificate, and they can be revoked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import grpc
import pytest
import structlog
from colotrace_coordinator.authority.authority import Authority
from colotrace_coordinator.authority.identity import AgentIdentity, EnrolledName, IdentityId
from colotrace_coordinator.enrolment.own_certificate import OwnCertificate
from colotrace_coordinator.errors import StoreUnavailableError
from colotrace_coordinator.fleet.agents import AgentKey
from colotrace_coordinator.fleet.registry import AgentName
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_coordinator.links.direct.tls import agent_certificate
from colotrace_coordinator.turns import Turns
from colotrace_proto.messages import AgentId, ColoName, Heartbeat, Hello
from colotrace_proto.running import RunningClock
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from grpc import aio
from unit.coordinator.links.recording import RecordingFleet
from unit.coordinator.scripted_agent import ScriptedAgent, hello

AGENT = AgentIdentity(IdentityId("0123456789abcdef"), ColoName("den01"), AgentId("a1"))
HOUR_S = 3_600.0
CHECK_S = 0.01


class Known:
    """What a test knows of enrolled agents."""

    def __init__(self) -> None:
        self.valid = {AGENT.id: 0.0}
        self.name = EnrolledName(AGENT.colo, AGENT.agent_id, "Denver, CO, US")
        self.certified = AGENT.colo, AGENT.agent_id
        self.broken = False

    async def holds(self, _: IdentityId, name: AgentName) -> bool:
        return name == self.certified

    async def current(self, identity: IdentityId) -> EnrolledName | None:
        if self.broken:
            raise StoreUnavailableError("gone")
        return self.name if identity in self.valid else None

    def ends_at(self, identity: IdentityId) -> float:
        return self.valid.get(identity, 0.0)


class Bed:
    """A link with a CA of its own, whose clock a test sets ahead."""

    def __init__(self, *, renames: bool = True) -> None:
        self.known = Known()
        self.fleet = RecordingFleet()
        self.authority = Authority.create()
        self.ahead_s = 0.0
        self.link = DirectLink(
            self.fleet,
            host="127.0.0.1",
            port=0,
            tls=OwnCertificate(self.authority, ["127.0.0.1"]),
            log=structlog.get_logger(),
            clock=RunningClock(),
            turns=Turns(),
            wall=lambda: self.ends_at - HOUR_S + self.ahead_s,
            expiry_check_s=CHECK_S,
            enrolled=self.known,
            renames=renames,
        )
        key = ec.generate_private_key(ec.SECP256R1())
        self.public_key = key.public_key()
        self.certificate, self.ends_at = self.authority.for_agent(
            AGENT, self.public_key, lifetime_s=HOUR_S
        )
        self._key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.port = 0

    def dial(self) -> aio.Channel:
        credentials = grpc.ssl_channel_credentials(
            self.authority.certificate, self._key, self.certificate
        )
        return aio.secure_channel(f"127.0.0.1:{self.port}", credentials)

    def agent(
        self, agent_id: str = "a1", colo: str = "den01", boot: bytes | None = None
    ) -> ScriptedAgent:
        told = hello(agent_id, colo=colo, boot=boot)
        return ScriptedAgent(self.port, told, channel=self.dial())


@pytest.fixture
async def bed() -> AsyncIterator[Bed]:
    bed = Bed()
    bed.port = await bed.link.start()
    yield bed
    await bed.link.stop()


async def test_names_of_the_certificate_replace_those_of_the_agent(bed: Bed) -> None:
    """Whatever it calls itself."""
    async with bed.agent("other", colo="sin01") as agent:
        await agent.attach()
        kind, key, told = await bed.fleet.next()
    assert kind == "attached"
    assert isinstance(told, Hello)
    assert key == AgentKey.of(told)
    assert (told.colo, told.agent_id) == ("den01", "a1")


MOVED = EnrolledName(ColoName("den02"), AgentId("b1"), "Golden, CO, US")


async def test_renamed_agent_attaches_again_under_its_new_name(bed: Bed) -> None:
    """With the certificate that it has, and as the same process: its jobs move along."""
    async with bed.agent(boot=bytes(16)) as agent:
        await agent.attach()
        _, former, _ = await bed.fleet.next()
        bed.known.name = MOVED
        bed.link.attached.end_renamed({AGENT.id: MOVED})
        code, detail = await agent.ended()
        assert (code, "was renamed" in detail) == ("UNAVAILABLE", True)
    assert (await bed.fleet.next())[0] == "detached"
    assert bed.fleet.was_renamed
    async with bed.agent(boot=bytes(16)) as agent:
        await agent.attach()
        renamed, attached = await bed.fleet.next(), await bed.fleet.next()
        bed.link.attached.end_renamed({AGENT.id: MOVED})  # seen again by a later look
        await agent.say(Heartbeat())
        assert (await bed.fleet.next())[0] == "heard"
    told = attached[2]
    assert isinstance(told, Hello)
    assert (told.colo, told.agent_id, told.city) == MOVED
    assert renamed == ("renamed", former, AgentKey.of(told))


async def test_name_is_that_of_the_certificate_with_a_broker() -> None:
    """At which the agent is announced by that name."""
    bed = Bed(renames=False)
    bed.known.name = MOVED
    bed.port = await bed.link.start()
    async with bed.agent() as agent:
        await agent.attach()
        bed.link.attached.end_renamed({AGENT.id: MOVED})
        _, _, told = await bed.fleet.next()
        await agent.say(Heartbeat())
        assert (await bed.fleet.next())[0] == "heard"
    await bed.link.stop()
    assert isinstance(told, Hello)
    assert (told.colo, told.agent_id) == ("den01", "a1")


async def test_former_certificate_is_of_no_use_with_a_broker() -> None:
    """The agent could pass for another one that has got its former name."""
    bed = Bed(renames=False)
    bed.known.name, bed.known.certified = MOVED, MOVED[:2]
    bed.port = await bed.link.start()
    async with bed.agent() as agent:
        await agent.say(agent.hello)
        code, detail = await agent.ended()
    await bed.link.stop()
    assert (code, "former name" in detail) == ("UNAUTHENTICATED", True)


async def test_revoked_agent_loses_its_stream_and_gets_none(bed: Bed) -> None:
    async with bed.agent() as agent:
        await agent.attach()
        bed.link.attached.end_revoked([IdentityId("f" * 16)])
        del bed.known.valid[AGENT.id]
        bed.link.attached.end_revoked([AGENT.id])
        code, detail = await agent.ended()
        assert (code, "was revoked" in detail) == ("UNAUTHENTICATED", True)
    assert [(await bed.fleet.next())[0] for _ in range(2)] == ["attached", "detached"]
    assert bed.fleet.revoked
    async with bed.agent() as agent:
        await agent.say(agent.hello)
        assert (await agent.ended())[0] == "UNAUTHENTICATED"


async def test_certificate_without_an_identity_gets_no_stream(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could revoke it, though its common name is a colo."""
    monkeypatch.setattr(AgentIdentity, "uri", "https://example.net/")
    bed.certificate, _ = bed.authority.for_agent(AGENT, bed.public_key, lifetime_s=HOUR_S)
    async with bed.agent() as agent:
        await agent.say(agent.hello)
        code, detail = await agent.ended()
    assert (code, "does not name an enrolled agent" in detail) == ("UNAUTHENTICATED", True)


def test_renewed_certificates_share_what_their_agent_may_have(bed: Bed) -> None:
    renewed, _ = bed.authority.for_agent(AGENT, bed.public_key, lifetime_s=HOUR_S)
    assert agent_certificate(renewed).holder == agent_certificate(bed.certificate).holder


async def test_agent_waits_while_nobody_knows_whether_it_is_revoked(bed: Bed) -> None:
    bed.known.broken = True
    async with bed.agent() as agent:
        await agent.say(agent.hello)
        assert (await agent.ended())[0] == "UNAVAILABLE"


async def test_first_end_of_all_certificates_is_known(bed: Bed) -> None:
    assert math.isnan(bed.link.attached.first_end())
    async with bed.agent() as agent:
        await agent.attach()
        assert bed.link.attached.first_end() == bed.ends_at
        bed.known.valid[AGENT.id] = bed.ends_at + HOUR_S
        assert bed.link.attached.first_end() == bed.ends_at + HOUR_S


async def test_stream_ends_with_the_newest_certificate(bed: Bed) -> None:
    """A renewed one lets the stream go on."""
    async with bed.agent() as agent:
        await agent.attach()
        assert (await bed.fleet.next())[0] == "attached"
        bed.known.valid[AGENT.id] = bed.ends_at + HOUR_S
        bed.ahead_s = 1.5 * HOUR_S
        await asyncio.sleep(5 * CHECK_S)
        await agent.say(Heartbeat())
        assert (await bed.fleet.next())[0] == "heard"
        bed.ahead_s = 2.5 * HOUR_S
        assert (await agent.ended())[0] == "UNAUTHENTICATED"
