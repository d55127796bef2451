"""What does not come, or comes too late: the modules of views, and the events of a measurement."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from browser.conftest import Guard
from fleet import Fleet
from fleet.fleet import ACCOUNT, NO_TLS
from playwright.async_api import Page, Request, Route, expect

GONE = "The coordinator does not answer."
MISSING = "A part of the page did not load."


@pytest.fixture(scope="session", name="ids")
def _ids(watched_fleet: Fleet) -> tuple[str, str]:
    """Of two measurements."""
    body = {"targets": ["web.lab.example"], "colos": ["den01"]}
    with httpx.Client(headers=watched_fleet.headers(), verify=NO_TLS, timeout=30) as client:
        first, second = (client.post(watched_fleet.path(), json=body) for _ in range(2))
    return first.headers["measurement-id"], second.headers["measurement-id"]


async def lose(tab: Page, module: str) -> None:
    """From now on, a module does not come."""

    async def lost(route: Route) -> None:
        await route.abort()

    await tab.route(f"**/views/{module}", lost)


async def test_view_that_does_not_come_leaves_the_others(signed_in: Page, guard: Guard) -> None:
    guard.allowed.append("net::ERR_FAILED")
    await lose(signed_in, "fleet.js")
    await signed_in.get_by_role("link", name="Fleet").click()
    await expect(signed_in.get_by_role("alert")).to_contain_text(MISSING)
    await signed_in.get_by_role("link", name="Trace", exact=True).click()
    await expect(signed_in.get_by_label("Targets")).to_be_visible()

    await signed_in.get_by_role("link", name="Fleet").click()
    await expect(signed_in.get_by_role("alert")).to_contain_text(MISSING)
    await signed_in.unroute_all()
    await signed_in.get_by_role("button", name="Try again").click()
    await expect(signed_in.get_by_role("link", name="den01")).to_be_visible()


@pytest.mark.parametrize("kind", ["m", "compare"])
async def test_graph_that_does_not_come_is_told(
    signed_in: Page, guard: Guard, watched_fleet: Fleet, ids: tuple[str, str], kind: str
) -> None:
    guard.allowed.append("net::ERR_FAILED")
    await lose(signed_in, "graph.js" if kind == "m" else "compare_graph.js")
    path = ids[0] if kind == "m" else "/".join(ids)
    await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/{kind}/{path}?view=graph")
    await expect(signed_in.get_by_role("alert")).to_contain_text(MISSING)
    await signed_in.unroute_all()
    await signed_in.get_by_role("button", name="Try again").click()
    await expect(signed_in.get_by_label("Fold by")).to_be_visible()


async def test_graph_that_comes_after_its_view_was_left_asks_nothing(
    signed_in: Page, watched_fleet: Fleet, ids: tuple[str, str]
) -> None:
    first, second = ids
    asked, left = asyncio.Event(), asyncio.Event()
    requests: list[str] = []

    async def late(route: Route) -> None:
        asked.set()
        await left.wait()
        await route.continue_()

    def note(request: Request) -> None:
        requests.append(request.url)

    await signed_in.route("**/views/compare_graph.js", late)
    await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/compare/{first}/{second}?view=graph")
    await asyncio.wait_for(asked.wait(), 30)
    signed_in.on("request", note)
    await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{second}?view=graph")
    async with signed_in.expect_response("**/views/compare_graph.js"):
        left.set()
    await signed_in.locator("[data-node]").first.wait_for()
    signed_in.remove_listener("request", note)
    assert [each for each in requests if f"{first}/graph" in each] == []


async def test_measurement_opened_while_the_coordinator_is_away_comes_later(
    signed_in: Page, guard: Guard, watched_fleet: Fleet, ids: tuple[str, str]
) -> None:
    guard.allowed.append("net::ERR_FAILED")

    async def lost(route: Route) -> None:
        await route.abort()

    await signed_in.route("**/events", lost)
    await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{ids[0]}")
    told = signed_in.get_by_text(f"{GONE} The measurement is shown once it answers again.")
    await expect(told).to_be_visible()
    await signed_in.unroute_all()
    await expect(signed_in.get_by_role("heading", name="web.lab.example")).to_be_visible()
    await expect(told).to_have_count(0)
