"""What is asked of the host's resolver, and what is not."""

import asyncio
import errno
import ipaddress
import socket
import threading

import pytest
from colotrace_agent.host.resolve import Resolver, UnresolvableError
from colotrace_proto.messages import Family


@pytest.mark.parametrize("target", ["fe80::1%eth0", "fe80::1%2", "2001:db8::1%", "192.0.2.1%eth0"])
async def test_an_address_with_a_zone_is_refused_in_words(target: str) -> None:
    """It is neither a name nor nonsense."""
    resolver = Resolver()
    try:
        with pytest.raises(UnresolvableError, match="has a zone"):
            await resolver.addresses(target)
    finally:
        await resolver.close()


@pytest.mark.parametrize("target", ["%eth0", "a%b.example", "fe80::1 %eth0"])
async def test_what_is_nothing_is_called_so(target: str) -> None:
    """A percent sign makes no zone by itself."""
    resolver = Resolver()
    try:
        with pytest.raises(UnresolvableError, match="neither an address nor a host name"):
            await resolver.addresses(target)
    finally:
        await resolver.close()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "no such name"),
        (socket.gaierror(socket.EAI_NODATA, "x"), "no address"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "name servers"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    ],
)
async def test_why_a_name_does_not_resolve(
    monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    """The C library's reason, or the host's own."""

    def fail(*given: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    resolver = Resolver()
    with pytest.raises(UnresolvableError, match=f"web.example does not resolve: .*{words}"):
        await resolver.addresses("web.example")
    await resolver.close()


async def test_a_resolver_that_does_not_answer_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is given up, and the loop has gone on meanwhile."""
    opened = threading.Event()

    def wait(*given: object, **named: object) -> list[object]:
        opened.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    resolver = Resolver(within_s=0.01)
    with pytest.raises(UnresolvableError, match="no answer within"):
        await resolver.addresses("web.example")
    opened.set()
    await resolver.close()


async def test_addresses_keep_the_hosts_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, and of a name in another script its DNS form is asked for."""
    asked: list[object] = []

    def found(host: object, *given: object, **named: object) -> list[object]:
        asked.append(host)
        texts = ["2001:db8::1", "192.0.2.1", "2001:db8::1", "192.0.2.2"]
        return [(0, 0, 0, "", (text, 0)) for text in texts]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    resolver = Resolver()
    addresses = await resolver.addresses("straße.example")
    await resolver.close()
    assert [str(ipaddress.ip_address(each)) for each in addresses] == [
        *["2001:db8::1", "192.0.2.1", "192.0.2.2"]
    ]
    assert asked == [b"xn--strae-oqa.example"]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("core-1.example.net.", "core-1.example.net"),
        ("a_b.example", "a_b.example"),
        ("<script>.example", None),
        ("a\x1b[31m.example", None),
        ("é.example", None),
        ("a" * 300, None),
        ("", None),
    ],
)
async def test_names_of_addresses_are_shown_if_they_are_names(
    monkeypatch: pytest.MonkeyPatch, told: str, shown: str | None
) -> None:
    """Whoever owns the address chooses its name."""

    def name(*given: object) -> tuple[str, str]:
        return told, "0"

    monkeypatch.setattr(socket, "getnameinfo", name)
    resolver = Resolver()
    assert await resolver.name(bytes([192, 0, 2, 1])) == shown
    await resolver.close()


@pytest.mark.parametrize(
    ("family", "asked"),
    [(None, socket.AF_UNSPEC), (Family.IPV4, socket.AF_INET), (Family.IPV6, socket.AF_INET6)],
)
async def test_only_the_wanted_family_is_looked_up(
    monkeypatch: pytest.MonkeyPatch, family: Family | None, asked: socket.AddressFamily
) -> None:
    families: list[object] = []

    def found(*_: object, family: int, **named: object) -> list[object]:
        families.append(family)
        return [(0, 0, 0, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    resolver = Resolver()
    await resolver.addresses("web.example", family=family)
    await resolver.close()
    assert families == [asked]


@pytest.mark.parametrize("reason", [socket.EAI_NODATA, socket.EAI_ADDRFAMILY])
async def test_name_without_an_address_of_the_family_names_it(
    monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    """Beside a look-up of the same name for another family, which goes on."""

    def found(*_: object, family: int, **named: object) -> list[object]:
        if family == socket.AF_INET6:
            raise socket.gaierror(reason, "x")
        return [(0, 0, 0, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    resolver = Resolver()
    six = resolver.addresses("web.example", family=Family.IPV6)
    four = resolver.addresses("web.example", family=Family.IPV4)
    error, addresses = await asyncio.gather(six, four, return_exceptions=True)
    await resolver.close()
    assert str(error) == "web.example does not resolve: it has no IPv6 address"
    assert addresses == [bytes([192, 0, 2, 1])]


async def test_address_of_another_family_is_not_resolved() -> None:
    resolver = Resolver()
    with pytest.raises(UnresolvableError, match=r"192\.0\.2\.1 is not an IPv6 address"):
        await resolver.addresses("192.0.2.1", family=Family.IPV6)
    assert await resolver.addresses("2001:db8::1", family=Family.IPV6) == [
        ipaddress.ip_address("2001:db8::1").packed
    ]
    await resolver.close()
