"""The rate limits, and that what they keep is bounded."""

import pytest
from colotrace_coordinator.api import limiter as module
from colotrace_coordinator.api.errors import RateLimitedError
from colotrace_coordinator.api.limiter import Limiter


async def test_hosts_of_one_ipv6_network_share_a_count() -> None:
    limiter = Limiter(per_credential=1, failures_per_address=2)
    await limiter.failure("2001:db8::1")
    await limiter.failure("2001:db8::2")
    with pytest.raises(RateLimitedError):
        await limiter.failure("2001:db8::ffff")
    assert (await limiter.failure("2001:db8:0:1::1")).remaining == 1


async def test_mapped_and_plain_ipv4_are_one() -> None:
    limiter = Limiter(per_credential=1, failures_per_address=1)
    await limiter.failure("::ffff:192.0.2.1")
    with pytest.raises(RateLimitedError) as caught:
        await limiter.failure("192.0.2.1")
    assert 299 <= caught.value.left.reset_s <= 300


async def test_strangers_beyond_the_bound_share_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADDRESSES", 2)
    limiter = Limiter(per_credential=1, failures_per_address=2)
    for last in range(1, 5):
        await limiter.failure(f"192.0.2.{last}")
    assert (await limiter.failure("192.0.2.1")).remaining == 0
    with pytest.raises(RateLimitedError):
        await limiter.failure("192.0.2.9")
