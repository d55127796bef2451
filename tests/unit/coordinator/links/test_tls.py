"""Agents and coordinator with certificates."""

import time
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from colotrace_coordinator.links.direct.server import DirectLink
from colotrace_coordinator.links.direct.tls import (
    CertificateError,
    TlsError,
    TlsFiles,
    agent_certificate,
    vouches,
)
from colotrace_coordinator.turns import Turns
from colotrace_proto.running import RunningClock
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from fleet.authority import Authority
from grpc import aio
from unit.coordinator.links.test_direct import RecordingFleet
from unit.coordinator.scripted_agent import ScriptedAgent, hello

AGENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
COORDINATOR = (ExtendedKeyUsageOID.SERVER_AUTH,)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def served(authority: Authority) -> TlsFiles:
    own = authority.issue("coordinator", also="127.0.0.1", usages=COORDINATOR)
    return TlsFiles(certificate=own.certificate, key=own.key, client_authority=authority.path)


def make(tls: TlsFiles) -> DirectLink:
    return DirectLink(
        RecordingFleet(),
        host="127.0.0.1",
        port=0,
        tls=tls,
        log=structlog.get_logger(),
        clock=RunningClock(),
        turns=Turns(),
    )


@pytest.mark.parametrize(
    ("name", "dns"), [("den01", ""), ("Den01", ""), ("somebody", "den01"), ("somebody", "DEN01")]
)
async def test_certificate_of_the_colo(authority: Authority, name: str, dns: str) -> None:
    """As common or alternative name."""
    link = make(served(authority))
    port = await link.start()
    async with ScriptedAgent(port, channel=dial(authority, port, name, dns)) as agent:
        await agent.attach()
    await link.stop()


@pytest.mark.parametrize("agent_id", ["a1", "den01"])
async def test_certificate_of_another_colo(authority: Authority, agent_id: str) -> None:
    """Good for its own colo, and for no other, whatever the agent calls itself."""
    link = make(served(authority))
    port = await link.start()
    channel = dial(authority, port, "den01", "")
    async with ScriptedAgent(port, hello(agent_id, colo="sin01"), channel=channel) as agent:
        await agent.say(agent.hello)
        assert await agent.ended() == (
            "UNAUTHENTICATED",
            "the certificate does not name the colo sin01",
        )
    await link.stop()


async def test_no_certificate(authority: Authority) -> None:
    """The handshake fails already."""
    link = make(served(authority))
    port = await link.start()
    credentials = grpc.ssl_channel_credentials(authority.path.read_bytes())
    channel = aio.secure_channel(f"127.0.0.1:{port}", credentials)
    async with ScriptedAgent(port, channel=channel) as agent:
        with pytest.raises(aio.AioRpcError):
            await agent.attach()
        assert (await agent.ended())[0] == "UNAVAILABLE"
    await link.stop()


def dial(authority: Authority, port: int, name: str, dns: str, **more: Any) -> aio.Channel:
    own = authority.issue(name, also=dns, client=True, **more)
    credentials = grpc.ssl_channel_credentials(
        authority.path.read_bytes(), own.key.read_bytes(), own.certificate.read_bytes()
    )
    return aio.secure_channel(f"127.0.0.1:{port}", credentials)


def test_files_that_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    """Missing, not PEM, or not belonging together: said in words before listening."""
    good = served(authority)
    other_key = authority.issue("other").key
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"junk")
    cases = [
        (tmp_path / "none.pem", good.key, good.client_authority, "cannot read"),
        (junk, good.key, good.client_authority, "junk.pem"),
        (good.certificate, junk, good.client_authority, "no private key"),
        (good.certificate, other_key, good.client_authority, "is not the key of"),
        (good.certificate, good.key, junk, "junk.pem"),
    ]
    for certificate, key, client_authority, words in cases:
        files = TlsFiles(certificate=certificate, key=key, client_authority=client_authority)
        with pytest.raises(TlsError, match=words):
            files.read()


def test_a_name_must_match_whole() -> None:
    """No prefix, no suffix, no wildcard."""
    assert not vouches(["den", "den011", "*", "den01.example.com", ""], hello("a1", colo="den01"))


@pytest.mark.parametrize(
    ("name", "usages"),
    [
        ("den01", ()),
        ("den01", COORDINATOR),
        ("den01", AGENT + COORDINATOR),
        ("den01", (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
        ("den01\0.evil", AGENT),
        ("den01\n", AGENT),
        ("den01\x1b[31m", AGENT),
        ("den01\u202e", AGENT),
    ],
)
def test_certificate_that_is_no_agents(
    authority: Authority, name: str, usages: tuple[x509.ObjectIdentifier, ...]
) -> None:
    """Not for a client, for a server too, or with a name that nobody can compare."""
    own = authority.issue(name, usages=usages)
    with pytest.raises(CertificateError):
        agent_certificate(own.certificate.read_bytes())


def test_bytes_that_are_no_certificate() -> None:
    with pytest.raises(CertificateError):
        agent_certificate(b"")


async def test_agent_with_a_certificate_for_servers_too(authority: Authority) -> None:
    """The handshake takes it; the stream ends before anything is believed."""
    link = make(served(authority))
    port = await link.start()
    channel = dial(authority, port, "den01", "", usages=AGENT + COORDINATOR)
    async with ScriptedAgent(port, channel=channel) as agent:
        assert (await agent.ended())[0] == "UNAUTHENTICATED"
    await link.stop()


def test_coordinators_certificate_must_be_for_servers(authority: Authority) -> None:
    """Agents would refuse it: said before listening."""
    own = authority.issue("coordinator", usages=AGENT)
    files = TlsFiles(certificate=own.certificate, key=own.key, client_authority=authority.path)
    with pytest.raises(TlsError, match="serverAuth"):
        files.read()


async def test_stream_ends_with_its_certificate(authority: Authority) -> None:
    """By the wall clock, which is the test's."""
    wall = [time.time()]
    link = DirectLink(
        RecordingFleet(),
        host="127.0.0.1",
        port=0,
        tls=served(authority),
        log=structlog.get_logger(),
        clock=RunningClock(),
        turns=Turns(),
        wall=lambda: wall[0],
        expiry_check_s=0.01,
    )
    port = await link.start()
    async with ScriptedAgent(port, channel=dial(authority, port, "den01", "")) as agent:
        await agent.attach()
        wall[0] += 3700
        assert (await agent.ended())[0] == "UNAUTHENTICATED"
    await link.stop()


async def test_replaced_files_are_taken(authority: Authority, tmp_path: Path) -> None:
    """At the next handshake; another CA ends the streams, and its agents are let in."""
    files = served(authority)
    link = make(files)
    port = await link.start()
    async with ScriptedAgent(port, channel=dial(authority, port, "den01", "")) as agent:
        await agent.attach()
        other = Authority(tmp_path / "other")
        files.certificate.write_bytes(b"half written")
        with pytest.raises(TlsError):
            link.reload()
        renewed = served(other)
        files.certificate.write_bytes(renewed.certificate.read_bytes())
        files.key.write_bytes(renewed.key.read_bytes())
        authority.path.write_bytes(other.path.read_bytes())
        link.reload()
        assert (await agent.ended())[0] == "UNAVAILABLE"
    async with ScriptedAgent(port, channel=dial(other, port, "den01", "")) as agent:
        await agent.attach()
    await link.stop()
