"""An agent and whoever answers as its coordinator, over real TLS and gRPC."""

import asyncio
import gc
import ssl
from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path

import grpc
import pytest
from colotrace_agent.job.admission import Jobs
from colotrace_agent.link import backoff
from colotrace_agent.link.pins import Pins
from colotrace_agent.link.stream import Stream
from colotrace_agent.link.tls import AgentCertificateError, CoordinatorCertificateError, Tls
from colotrace_proto.running import RunningClock
from cryptography.x509.oid import ExtendedKeyUsageOID
from fleet.authority import Authority, Pair
from unit.agent.link.conftest import Log
from unit.agent.link.scripted_coordinator import Call, coordinator
from unit.agent.link.test_session import IDENTITY
from unit.agent.link.test_stream import running

HOST = "127.0.0.1"
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent attaches again at once."""
    for pause in ("MIN_PAUSE_S", "MAX_PAUSE_S", "MAX_SLOW_PAUSE_S", "SPREAD_S"):
        monkeypatch.setattr(backoff, pause, 0.001)


def tls(authority: Authority) -> Tls:
    own = authority.issue("den01")
    return Tls(certificate=own.certificate, key=own.key, authority=authority.path)


def shown(authority: Authority, *pairs: Pair) -> grpc.ServerCredentials:
    """A server that shows one after the other, and the last one from then on."""
    configurations = [
        grpc.ssl_server_certificate_configuration(
            [(pair.key.read_bytes(), pair.certificate.read_bytes())], authority.path.read_bytes()
        )
        for pair in pairs
    ]
    turns = chain(configurations, repeat(configurations[-1]))
    return grpc.dynamic_ssl_server_credentials(
        configurations[0], lambda: next(turns), require_client_authentication=True
    )


def welcoming(welcomed: asyncio.Event) -> Callable[[Call], "asyncio.Future[None]"]:
    async def script(stream: Call) -> None:
        await stream.welcome()
        welcomed.set()
        await asyncio.Event().wait()

    return script  # type: ignore[return-value]


async def test_coordinator_with_its_certificate(authority: Authority, jobs: Jobs, log: Log) -> None:
    """It is attached to."""
    welcomed = asyncio.Event()
    good = authority.issue("coordinator", also=HOST, usages=SERVER)
    async with coordinator(welcoming(welcomed), shown(authority, good)) as where:
        link = Stream(where, IDENTITY, jobs, tls=tls(authority), clock=RunningClock())
        async with running(link), asyncio.timeout(20):
            await welcomed.wait()
    assert log.reasons.empty()


@pytest.mark.parametrize("usages", [(), CLIENT])
async def test_agents_certificate_does_not_pass_for_a_coordinators(
    authority: Authority, jobs: Jobs, log: Log, usages: tuple[object, ...]
) -> None:
    """Though it is of the same authority, and for the name that is called."""
    welcomed = asyncio.Event()
    agents = authority.issue("sin01", also=HOST, usages=usages)  # type: ignore[arg-type]
    async with coordinator(welcoming(welcomed), shown(authority, agents)) as where:
        link = Stream(where, IDENTITY, jobs, tls=tls(authority), clock=RunningClock())
        async with running(link):
            assert "UNAUTHENTICATED" in await log.next()
    assert not welcomed.is_set()


async def test_impostor_after_the_certificate_was_verified(
    authority: Authority, jobs: Jobs, log: Log
) -> None:
    """Who shows an agent's certificate to gRPC itself is refused as well."""
    welcomed = asyncio.Event()
    good = authority.issue("coordinator", also=HOST, usages=SERVER)
    agents = authority.issue("sin01", also=HOST, usages=())
    async with coordinator(welcoming(welcomed), shown(authority, good, agents)) as where:
        link = Stream(where, IDENTITY, jobs, tls=tls(authority), clock=RunningClock())
        async with running(link):
            assert "UNAVAILABLE" in await log.next()
            assert "UNAUTHENTICATED" in await log.next()
    assert not welcomed.is_set()


async def test_coordinator_with_a_new_certificate(
    authority: Authority, jobs: Jobs, log: Log
) -> None:
    """Replaced while the agent was attached: the next attempt but one takes it."""
    ended = asyncio.Event()
    welcomed = asyncio.Event()

    async def script(stream: Call) -> None:
        await stream.welcome()
        if ended.is_set():
            welcomed.set()
            await asyncio.Event().wait()
        ended.set()
        await stream.abort(grpc.StatusCode.UNAVAILABLE)

    old = authority.issue("old", also=HOST, usages=SERVER)
    new = authority.issue("new", also=HOST, usages=SERVER)
    async with coordinator(script, shown(authority, old, old, new)) as where:
        link = Stream(where, IDENTITY, jobs, tls=tls(authority), clock=RunningClock())
        async with running(link), asyncio.timeout(20):
            await welcomed.wait()


class Listener:
    """Listens with a coordinator's certificate, and closes each connection after its handshake."""

    def __init__(self, authority: Authority) -> None:
        good = authority.issue("coordinator", also=HOST, usages=SERVER)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(good.certificate, good.key)
        self._server: asyncio.Server | None = None
        self._port = 0
        self.handshakes = 0

    async def start(self) -> str:
        """Listen, each time at the same place; returns it."""
        self._server = await asyncio.start_server(self._handle, HOST, self._port, ssl=self._context)
        self._port = self._server.sockets[0].getsockname()[1]
        return f"{HOST}:{self._port}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _handle(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handshakes += 1
        writer.write(b"h")
        await writer.drain()
        writer.close()


async def test_coordinator_that_was_down_is_not_verified_twice(authority: Authority) -> None:
    """Its verified certificate is used at once when it listens again, and verified again only if
    that fails: a restarted coordinator has one handshake for each agent."""
    listener = Listener(authority)
    pins, pem = Pins(await listener.start(), clock=RunningClock()), tls(authority).read()
    verified = await pins.roots(pem, [HOST], within_s=5.0)
    await listener.stop()
    pins.doubt()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await pins.roots(pem, [HOST], within_s=5.0)
    await listener.start()
    assert await pins.roots(pem, [HOST], within_s=5.0) == verified
    assert listener.handshakes == 1
    pins.doubt()
    assert await pins.roots(pem, [HOST], within_s=5.0) == verified
    assert listener.handshakes == 2
    await listener.stop()


@pytest.mark.parametrize("attempts", [0, 1, 2])
async def test_coordinator_that_restarts_is_not_verified_twice(
    authority: Authority, attempts: int
) -> None:
    """However many attempts were refused meanwhile."""
    listener = Listener(authority)
    pins, pem = Pins(await listener.start(), clock=RunningClock()), tls(authority).read()
    verified = await pins.roots(pem, [HOST], within_s=5.0)
    pins.lost()
    await listener.stop()
    for _ in range(attempts):
        with pytest.raises(ConnectionRefusedError):
            await pins.roots(pem, [HOST], within_s=5.0)
        pins.doubt()
    await listener.start()
    assert await pins.roots(pem, [HOST], within_s=5.0) == verified
    assert listener.handshakes == 1
    await listener.stop()


async def test_slow_coordinator_is_not_verified_twice(
    authority: Authority, jobs: Jobs, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt has two handshakes, the one after its timeout has one."""
    monkeypatch.setattr(backoff, "ATTEMPT_S", 0.5)
    welcomed, calls = asyncio.Event(), 0

    async def script(stream: Call) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            await stream.welcome()
            welcomed.set()
        await asyncio.Event().wait()

    good = authority.issue("coordinator", also=HOST, usages=SERVER)
    configuration = grpc.ssl_server_certificate_configuration(
        [(good.key.read_bytes(), good.certificate.read_bytes())], authority.path.read_bytes()
    )
    handshakes = 0

    def count() -> grpc.ServerCertificateConfiguration:
        nonlocal handshakes
        handshakes += 1
        return configuration

    credentials = grpc.dynamic_ssl_server_credentials(
        configuration, count, require_client_authentication=True
    )
    async with coordinator(script, credentials) as where:
        link = Stream(where, IDENTITY, jobs, tls=tls(authority), clock=RunningClock())
        async with running(link), asyncio.timeout(10):
            await welcomed.wait()
    assert "TimeoutError" in await log.next()
    assert handshakes == 3


async def test_certificate_that_is_not_valid_for_the_coordinator(
    authority: Authority, tmp_path: Path
) -> None:
    """Each is said in words before gRPC is asked."""
    other = Authority(tmp_path / "other", "other")
    pairs = {
        "is of another certificate authority .* join anew": other.issue("coordinator", also=HOST),
        r"is not for 127\.0\.0\.1; .* --name": authority.issue("elsewhere", also="192.0.2.1"),
        "has ended by this host's clock, which says .* set the clock": authority.issue(
            "ended", also=HOST, valid_h=(-2, -1)
        ),
        "is not valid yet by this host's clock, .* set the clock": authority.issue(
            "early", also=HOST, valid_h=(1, 2)
        ),
    }
    for words, pair in pairs.items():
        async with coordinator(welcoming(asyncio.Event()), shown(authority, pair)) as where:
            pins = Pins(where, clock=RunningClock())
            with pytest.raises(CoordinatorCertificateError, match=words):
                await pins.roots(tls(authority).read(), ["127.0.0.1"], within_s=5.0)


@pytest.mark.parametrize("fault", ["expired", "of another authority", "for servers only"])
async def test_own_certificate_that_the_coordinator_refuses(
    authority: Authority, tmp_path: Path, fault: str
) -> None:
    """gRPC's own words for each are "Socket closed"."""
    if fault == "expired":
        own = authority.issue("den01", valid_h=(-2, -1))
    elif fault == "for servers only":
        own = authority.issue("den01", usages=SERVER)
    else:
        own = Authority(tmp_path / "other", "other").issue("den01")
    pair = authority.issue("coordinator", also=HOST, usages=SERVER)
    async with coordinator(welcoming(asyncio.Event()), shown(authority, pair)) as where:
        pins = Pins(where, clock=RunningClock())
        files = Tls(certificate=own.certificate, key=own.key, authority=authority.path)
        with pytest.raises(AgentCertificateError) as raised:
            await pins.roots(files.read(), ["127.0.0.1"], within_s=5.0)
    assert raised.value.expired is (fault == "expired")


async def test_own_certificate_that_has_expired_is_named_in_the_log(
    authority: Authority, jobs: Jobs, log: Log
) -> None:
    own = authority.issue("den01", valid_h=(-2, -1))
    pair = authority.issue("coordinator", also=HOST, usages=SERVER)
    files = Tls(certificate=own.certificate, key=own.key, authority=authority.path)
    async with coordinator(welcoming(asyncio.Event()), shown(authority, pair)) as where:
        link = Stream(where, IDENTITY, jobs, tls=files, clock=RunningClock())
        async with running(link):
            assert "UNAUTHENTICATED" in await log.next()


@pytest.mark.parametrize(
    ("valid_h", "renewed_at", "words"),
    [
        ((-2, -1), "", "it ended at .*, and this host's clock says .*; have it renewed"),
        ((-2, -1), "c:8082", "renews it at c:8082 .* up to 30 days later; .* join anew"),
        ((1, 2), "c:8082", "it is valid from .* on, but this host's clock says .*: set the clock"),
        ((-1, 1), "c:8082", "valid by this host's clock; .* another CA now.* join anew"),
    ],
)
async def test_remedy_of_a_refused_certificate(
    authority: Authority,
    tmp_path: Path,
    valid_h: tuple[float, float],
    renewed_at: str,
    words: str,
) -> None:
    issuer = authority if valid_h != (-1, 1) else Authority(tmp_path / "other", "other")
    own = issuer.issue("den01", valid_h=valid_h)
    pair = authority.issue("coordinator", also=HOST, usages=SERVER)
    async with coordinator(welcoming(asyncio.Event()), shown(authority, pair)) as where:
        pins = Pins(where, clock=RunningClock())
        files = Tls(
            certificate=own.certificate,
            key=own.key,
            authority=authority.path,
            renewed_at=renewed_at,
        )
        with pytest.raises(AgentCertificateError, match=words):
            await pins.roots(files.read(), ["127.0.0.1"], within_s=5.0)


async def test_certificate_that_ends_while_attached_is_named_at_once(
    authority: Authority, jobs: Jobs, log: Log
) -> None:
    """Though the coordinator's certificate was verified before, so that only gRPC would connect."""
    own = authority.issue("den01")
    pair = authority.issue("coordinator", also=HOST, usages=SERVER)
    files = Tls(certificate=own.certificate, key=own.key, authority=authority.path)
    welcomed = asyncio.Event()
    async with coordinator(welcoming(welcomed), shown(authority, pair)) as where:
        link = Stream(where, IDENTITY, jobs, tls=files, clock=RunningClock())
        async with running(link):
            await welcomed.wait()
            authority.issue("den01", valid_h=(-2, -1))
            link.renew()  # attaches again
            assert "it ended at" in await log.next()


async def test_failed_attempts_leave_nothing_that_connects(
    authority: Authority, jobs: Jobs, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt verifies the certificate, and connects once: its channel goes with it."""
    for pause in ("MIN_PAUSE_S", "MAX_PAUSE_S", "MAX_SLOW_PAUSE_S"):
        monkeypatch.setattr(backoff, pause, 0.3)
    listener, attempts = Listener(authority), 10
    where = await listener.start()
    link = Stream(where, IDENTITY, jobs, tls=tls(authority), clock=RunningClock())
    gc.disable()  # an idle agent makes so little garbage that the collector hardly ever runs
    running_link = asyncio.create_task(link.run(), name="link")
    try:
        for _ in range(attempts):
            assert "UNAVAILABLE" in await log.next()
    finally:
        gc.enable()
        running_link.cancel()
        await asyncio.gather(running_link, return_exceptions=True)
        await listener.stop()
    assert listener.handshakes <= 2 * (attempts + 1)
