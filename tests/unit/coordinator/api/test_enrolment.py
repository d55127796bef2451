"""Limits of the listener for enrolment."""

import httpx
import pytest
from colotrace_coordinator.api.routes.enrolment import (
    BURST,
    BURST_OF_ALL,
    RATE,
    Enrolment,
)
from colotrace_coordinator.errors import CoordinatorError
from colotrace_proto.enrolment import Certified, JoinRequest, RenewRequest
from manual_clock import ManualClock
from starlette.applications import Starlette


class NoRegistrar:
    """Certifies nobody."""

    authority = b"PEM"

    async def join(self, request: JoinRequest) -> Certified:
        raise AssertionError(f"not to be certified: {request}")

    async def renew(self, request: RenewRequest) -> Certified:
        raise AssertionError(f"not to be certified: {request}")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def app(clock: ManualClock) -> Starlette:
    return Starlette(routes=Enrolment(NoRegistrar(), clock=clock).routes())


async def asked(app: Starlette, address: str, times: int) -> int:
    """How many of so many requests of an address are answered."""
    transport = httpx.ASGITransport(app, client=(address, 1))
    answered = 0
    async with httpx.AsyncClient(transport=transport, base_url="https://coordinator") as client:
        for _ in range(times):
            try:
                answered += (await client.get("/ca")).text == "PEM"
            except CoordinatorError:
                continue
    return answered


async def test_requests_of_one_address_are_limited(app: Starlette, clock: ManualClock) -> None:
    """An IPv6 host has its whole /64."""
    burst = int(BURST)
    assert await asked(app, "2001:db8::1", burst) == burst
    assert await asked(app, "2001:db8::2", 5) == 0
    assert await asked(app, "192.0.2.1", 5) == 5
    clock.now += 2
    assert await asked(app, "2001:db8::2", burst) == 2 * RATE


async def test_requests_of_all_together_are_limited(app: Starlette) -> None:
    """Whoever has many addresses does not keep the CA busy."""
    addresses = [f"192.0.2.{number}" for number in range(1, 8)]
    answered = [await asked(app, address, int(BURST)) for address in addresses]
    assert sum(answered) == BURST_OF_ALL
