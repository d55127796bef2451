"""The rate limits, and that what they keep is bounded."""

import time

import pytest
from colotrace_coordinator.api.access import limiter as module
from colotrace_coordinator.api.access.limiter import Limiter
from colotrace_coordinator.api.errors import RateLimitedError
from manual_clock import ManualClock


def test_hosts_of_one_ipv6_network_share_a_count() -> None:
    limiter = Limiter(per_credential=1, failures_per_address=2)
    limiter.failure("2001:db8::1")
    limiter.failure("2001:db8::2")
    with pytest.raises(RateLimitedError):
        limiter.failure("2001:db8::ffff")
    assert (limiter.failure("2001:db8:0:1::1")).remaining == 1


def test_mapped_and_plain_ipv4_are_one() -> None:
    limiter = Limiter(per_credential=1, failures_per_address=1)
    limiter.failure("::ffff:192.0.2.1")
    with pytest.raises(RateLimitedError) as caught:
        limiter.failure("192.0.2.1")
    assert 299 <= caught.value.left.reset_s <= 300


def test_strangers_beyond_the_bound_share_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADDRESSES", 2)
    limiter = Limiter(per_credential=1, failures_per_address=2)
    for last in range(1, 5):
        limiter.failure(f"192.0.2.{last}")
    assert (limiter.failure("192.0.2.1")).remaining == 0
    with pytest.raises(RateLimitedError):
        limiter.failure("192.0.2.9")


def test_window_ends_after_its_time_by_the_clock_that_it_is_given() -> None:
    clock = ManualClock()
    limiter = Limiter(per_credential=2, failures_per_address=1, clock=clock)
    assert (limiter.request("a").remaining, limiter.request("a").remaining) == (1, 0)
    clock.now += 299.5
    for _ in range(3):
        with pytest.raises(RateLimitedError) as caught:
            limiter.request("a")
        assert (caught.value.left.remaining, caught.value.left.reset_s) == (0, 1)
    clock.now += 0.5
    assert (limiter.request("a").remaining, limiter.request("a").reset_s) == (1, 300)


def test_wall_clock_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = Limiter(per_credential=1, failures_per_address=1)
    limiter.request("a")
    for now in (0.0, 1e12):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        with pytest.raises(RateLimitedError):
            limiter.request("a")


def test_windows_that_are_over_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADDRESSES", 2)
    clock = ManualClock()
    limiter = Limiter(per_credential=1, failures_per_address=1, clock=clock)
    limiter.failure("192.0.2.1")
    limiter.failure("192.0.2.2")
    limiter.failure("192.0.2.3")
    assert not limiter.may_fail("192.0.2.4", "")
    clock.now += 300
    assert limiter.failure("192.0.2.4").remaining == 0
    assert limiter.may_fail("192.0.2.5", "")
    assert len(vars(vars(limiter)["_failures"])["_counts"]) <= 2


def test_secret_that_is_wrong_at_many_addresses_is_worth_no_look_up() -> None:
    limiter = Limiter(per_credential=1, failures_per_address=2)
    for last in (1, 2):
        assert limiter.may_fail(f"192.0.2.{last}", "digest")
        limiter.wrong("digest")
    assert not limiter.may_fail("192.0.2.3", "digest")
    assert limiter.may_fail("192.0.2.3", "another")
