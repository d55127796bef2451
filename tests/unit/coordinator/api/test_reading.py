"""Rows of kept measurements in memory: bounded in all, with a share for each account."""

from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest
from colotrace_coordinator.api.errors import OverloadedError, TooManyReadsError, describe
from colotrace_coordinator.api.reading import Reading, rows_held
from colotrace_proto.measured import Options
from starlette.applications import Starlette
from unit.coordinator.api.conftest import ACCOUNT, BEARER, PATH
from unit.coordinator.api.test_measurements import kept
from unit.coordinator.remembered import RememberedHistory


def test_account_holds_its_share_and_no_more() -> None:
    reading = Reading(most=100, most_of_account=50)
    with reading.enter("a", 30):
        with pytest.raises(TooManyReadsError), reading.enter("a", 21):
            pass
        with reading.enter("a", 20), reading.enter("b", 50):
            assert reading.rows == 100
    assert reading.rows == 0


def test_rows_are_bounded_in_all() -> None:
    reading = Reading(most=100, most_of_account=80)
    with (
        reading.enter("a", 80),
        pytest.raises(OverloadedError),
        reading.enter("b", 21),
    ):
        pass
    assert reading.rows == 0


def test_one_large_measurement_alone_is_read() -> None:
    reading = Reading(most=100, most_of_account=50)
    with reading.enter("a", 1_000):
        assert reading.rows == 1_000
        with pytest.raises(OverloadedError), reading.enter("b", 1):
            pass


def test_accounts_that_hold_nothing_are_forgotten() -> None:
    reading = Reading(most=1, most_of_account=1)
    with ExitStack() as stack:
        stack.enter_context(reading.enter("a", 1))
        with pytest.raises(OverloadedError), reading.enter("b", 1):
            pass
    with reading.enter("b", 1):
        assert reading.rows == 1


@pytest.mark.parametrize("path", ["{a}", "{a}/events", "{a}/graph", "{a}/diff/{a}"])
async def test_reads_of_an_account_are_bounded_until_they_are_sent(
    make_app: Callable[..., Starlette], history: RememberedHistory, path: str
) -> None:
    reading = Reading(most_of_account=5)
    summary = kept(history)
    url = f"{PATH}/{path.format(a=summary.id)}"
    transport = httpx.ASGITransport(make_app(reading=reading))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        with reading.enter(ACCOUNT, 4):
            assert (await client.get(url, headers=BEARER)).status_code == 429
        assert (await client.get(url, headers=BEARER)).status_code == 200
    assert reading.rows == 0


def test_refusal_says_when_to_come_back() -> None:
    described = describe(TooManyReadsError(), path="")
    assert (described.status, described.headers) == (429, {"Retry-After": "1"})
    assert isinstance(httpx.codes(described.status), httpx.codes)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (Options(), 2),
        (Options(packets_per_ttl=10, max_ttl=64), 30),
        (Options(multipath=True), 90),
    ],
)
def test_row_counts_by_the_replies_that_it_may_have(
    history: RememberedHistory, options: Options, rows: int
) -> None:
    assert rows_held(kept(history, options=options)) == rows
