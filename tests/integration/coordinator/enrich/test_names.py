"""Names of addresses from a real name server."""

import asyncio
import socket
from collections.abc import Callable

import pytest
import structlog
from colotrace_coordinator.enrich import names as module
from colotrace_coordinator.enrich import servers
from colotrace_coordinator.enrich.names import Names
from colotrace_coordinator.enrich.servers import ResolverError
from colotrace_coordinator.jobs.fair import Origin
from colotrace_coordinator.metrics import Metrics
from integration.coordinator.enrich.conftest import NameServer
from prometheus_client import CollectorRegistry

Start = Callable[..., NameServer]
MINE, THEIRS = Origin("mine", "t", 1), Origin("theirs", "t", 2)


def make(resolver: str | None, registry: CollectorRegistry | None = None) -> Names:
    metrics = Metrics(registry or CollectorRegistry())
    return Names(resolver=resolver, metrics=metrics, log=structlog.get_logger())


async def test_names_are_found_and_cached(name_server: Start) -> None:
    """One query for each address; missing names are absent and are cached, too."""
    server = name_server(a192_0_2_1="core1.den01.example.net", a192_0_2_2="edge_2.example.net")
    numbers = CollectorRegistry()
    async with make(server.address, numbers) as names:
        wanted = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        expected = {"192.0.2.1": "core1.den01.example.net", "192.0.2.2": "edge_2.example.net"}
        assert await names.names(wanted, MINE, wait_s=5) == expected
        assert await names.names(wanted, MINE, wait_s=0) == expected
    assert sorted(server.questions()) == [f"{n}.2.0.192.in-addr.arpa" for n in (1, 2, 3)]
    assert numbers.get_sample_value("colotrace_names_total", {"source": "cache"}) == 3
    assert numbers.get_sample_value("colotrace_names_total", {"source": "server"}) == 3


async def test_ipv6(name_server: Start) -> None:
    """The same in ip6.arpa."""
    arpa = ".".join(reversed("20010db8" + "0" * 23 + "1")) + ".ip6.arpa"
    server = name_server(f"--ptr-record={arpa},six.example.net")
    async with make(server.address) as names:
        found = await names.names(["2001:db8::1"], MINE, wait_s=5)
    assert found == {"2001:db8::1": "six.example.net"}


async def test_prefetched_names_need_no_wait(name_server: Start) -> None:
    """They are looked up while the trace still runs."""
    server = name_server(a192_0_2_1="one.example.net")
    async with make(server.address) as names:
        names.prefetch(["192.0.2.1"], MINE)
        names.prefetch(["192.0.2.1"], MINE)
        assert await names.names(["192.0.2.1"], MINE, wait_s=5) == {"192.0.2.1": "one.example.net"}
        assert len(server.questions()) == 1


async def test_concurrent_look_ups_share_a_query(name_server: Start) -> None:
    """Callers during a look-up wait for its result."""
    server = name_server(a192_0_2_1="one.example.net")
    async with make(server.address) as names:
        answers = await asyncio.gather(
            *(names.names(["192.0.2.1"], MINE, wait_s=5) for _ in range(20))
        )
    assert all(answer == {"192.0.2.1": "one.example.net"} for answer in answers)
    assert len(server.questions()) == 1


@pytest.mark.parametrize(
    "name", ["<script>.example.net", "a b.example.net", "-a.example.net", "a..example.net"]
)
async def test_invalid_host_names_are_dropped(name: str) -> None:
    """The owner of an address chooses its name, so it is untrusted."""
    assert module.hostname(name) is None


async def test_hostile_name_from_a_server(name_server: Start) -> None:
    """The same, with a real server."""
    server = name_server(a192_0_2_1="evil<b>.example.net", a192_0_2_2="good.example.net")
    async with make(server.address) as names:
        found = await names.names(["192.0.2.1", "192.0.2.2"], MINE, wait_s=5)
    assert found == {"192.0.2.2": "good.example.net"}


def test_hostnames() -> None:
    """Letters, digits, hyphens, underscores; at most 63 characters in a label and 253 in all."""
    for good in ("a", "A-1.b_c.example", "xn--bcher-kva.example", "x" * 63 + ".net"):
        assert module.hostname(good) == good
    for bad in ("", ".", "x" * 64, ".".join(["x" * 60] * 5), "a.", "café.example"):
        assert module.hostname(bad) is None


async def test_silent_server_does_not_delay_the_answer() -> None:
    """After the wait, the answer has no names."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with make(f"127.0.0.1:{silent.getsockname()[1]}") as names:
            began_at = asyncio.get_running_loop().time()
            assert await names.names(["192.0.2.1"], MINE, wait_s=0.05) == {}
            assert asyncio.get_running_loop().time() - began_at < 1


async def test_unreachable_server_gives_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server listens: no names, and no exception."""
    monkeypatch.setattr(servers, "TOTAL_S", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    numbers = CollectorRegistry()
    async with make(f"127.0.0.1:{port}", numbers) as names:
        assert await names.names(["192.0.2.1"], MINE, wait_s=6) == {}
    assert numbers.get_sample_value("colotrace_names_total", {"source": "failed"}) == 1


@pytest.mark.parametrize(
    ("ttl", "kept"), [(0, 60), (59, 60), (60, 60), (3600, 3600), (86_400, 86_400), (10**6, 86_400)]
)
def test_cache_time_of_a_name(ttl: int, kept: float) -> None:
    """The TTL of the record, between a minute and a day."""
    assert module.kept_s(ttl) == kept


async def test_cache_is_bounded(name_server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently used name is evicted first."""
    monkeypatch.setattr(module, "MAX_CACHED", 2)
    server = name_server(**{f"a192_0_2_{n}": f"n{n}.example.net" for n in (1, 2, 3)})
    async with make(server.address) as names:
        for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
            await names.names([address], MINE, wait_s=5)
        known = await names.names(["192.0.2.1", "192.0.2.3"], MINE, wait_s=0)
        assert known == {"192.0.2.1": "n1.example.net", "192.0.2.3": "n3.example.net"}
        assert await names.names(["192.0.2.2"], MINE, wait_s=0) == {}


async def test_expired_names_are_queried_again(
    name_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired name is not used."""
    monkeypatch.setattr(module, "MIN_TTL_S", 0.0)
    server = name_server("--local-ttl=0", a192_0_2_1="one.example.net")
    async with make(server.address) as names:
        for _ in range(2):
            await names.names(["192.0.2.1"], MINE, wait_s=5)
            await asyncio.sleep(0)
    assert len(server.questions()) == 2


async def test_close_ends_running_look_ups() -> None:
    """No look-up runs or starts after the close."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with make(f"127.0.0.1:{silent.getsockname()[1]}") as names:
            names.prefetch((f"192.0.2.{n}" for n in range(100)), MINE)
        names.prefetch(["192.0.2.200"], MINE)
        assert await names.names(["192.0.2.200"], MINE, wait_s=1) == {}
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    "resolver", ["dns.example", "dns.example:53", "127.0.0.1:0", "127.0.0.1:65536", "1.2.3.4:x", ""]
)
async def test_resolver_must_be_an_address(resolver: str) -> None:
    """An invalid value is refused at the start, with the reason."""
    with pytest.raises(ResolverError, match="not an address"):
        make(resolver)


@pytest.mark.parametrize(
    ("resolver", "host", "port"),
    [
        ("192.0.2.53", "192.0.2.53", 53),
        ("192.0.2.53:5353", "192.0.2.53", 5353),
        ("2001:db8::53", "2001:db8::53", 53),
        ("[2001:db8::53]", "2001:db8::53", 53),
        ("[2001:db8::53]:5353", "2001:db8::53", 5353),
    ],
)
def test_resolver_forms(resolver: str, host: str, port: int) -> None:
    """HOST, HOST:PORT, and IPv6 in brackets."""
    assert servers.parse_resolver(resolver) == (host, port)
