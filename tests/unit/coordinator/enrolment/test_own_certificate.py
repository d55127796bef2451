"""When the coordinator issues its own certificate again."""

import asyncio
import errno

import pytest
from colotrace_coordinator.authority.authority import Authority
from colotrace_coordinator.enrolment.own_certificate import OwnCertificate
from cryptography import x509
from manual_clock import ManualClock

DAY_S = 86_400.0
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("days", "times"),
    [(0, 0), (1, 0), (14, 0), (15, 1), (40, 1), (-0.5, 1), (-2_000, 1)],
)
async def test_at_half_of_its_life_and_if_the_clock_was_ahead(days: float, times: int) -> None:
    clock = ManualClock(NOW)
    own = OwnCertificate(
        Authority.create(clock=clock), ["192.0.2.1"], lifetime_s=30 * DAY_S, clock=clock
    )
    clock.now += days * DAY_S
    reloads: list[None] = []
    running = asyncio.create_task(own.run([lambda: reloads.append(None)], check_s=0.001))
    await asyncio.wait([running], timeout=0.05)
    running.cancel()
    assert len(reloads) == times
    certificate = x509.load_pem_x509_certificate(own.read().certificate)
    assert certificate.not_valid_before_utc.timestamp() <= clock.now
    assert certificate.not_valid_after_utc.timestamp() > clock.now


async def test_failed_reload_is_tried_again() -> None:
    """The coordinator goes on with the certificate that it has."""
    clock = ManualClock(NOW)
    own = OwnCertificate(
        Authority.create(clock=clock), ["192.0.2.1"], lifetime_s=30 * DAY_S, clock=clock
    )
    clock.now += 15 * DAY_S
    asked: list[None] = []

    def reload() -> None:
        asked.append(None)
        if len(asked) == 1:
            raise OSError(errno.EMFILE, "Too many open files")

    running = asyncio.create_task(own.run([reload], check_s=0.001))
    done, _ = await asyncio.wait([running], timeout=0.05)
    running.cancel()
    assert not done
    assert len(asked) == 2
