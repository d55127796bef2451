"""Targets that no name server needs to be asked for."""

import pytest
from colotrace_agent.resolve import Resolver, UnresolvableError


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
