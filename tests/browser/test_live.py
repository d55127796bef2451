"""A measurement fills while it is watched: from its start, from later on, across a restart.

Agents are frozen while a test looks: their rows stay as they are, however busy the machine is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio
from browser.conftest import guarded, sign_in
from eventually import wait_until
from fleet import Fleet
from fleet.fleet import ACCOUNT, NO_TLS, default_agents
from lab import Lab
from playwright.async_api import Browser, Locator, Page, expect

WEB, DARK = "198.18.30.80", "198.18.30.90"
"""The second answers nothing, so its rows last as long as the wait."""
WAIT_S = 4
GONE = "The coordinator does not answer. What is shown is from before"


@pytest.fixture(scope="session", name="own_fleet")
def _own_fleet(lab: Lab) -> Iterator[Fleet]:
    agents = [each for each in default_agents(lab) if each.colo in ("den01", "den02")]
    with Fleet(lab, agents=agents) as running:
        running.wait_attached()
        yield running


@pytest_asyncio.fixture(loop_scope="session", name="own_tab")
async def _own_tab(chromium: Browser, own_fleet: Fleet) -> AsyncIterator[Page]:
    """A tab of the fleet that the test may stop."""
    async with guarded(chromium, own_fleet.url) as (context, guard):
        guard.allowed.append("net::ERR_")
        yield await context.new_page()


def freeze(fleet: Fleet) -> None:
    """Rows that have not ended stay as they are."""
    for each in fleet.agents:
        fleet.freeze_agent(each)


def thaw(fleet: Fleet) -> None:
    for each in fleet.agents:
        fleet.thaw_agent(each)


def begin(fleet: Fleet) -> str:
    """Begin a measurement whose rows of one target have ended; the others wait. Its route."""
    with httpx.Client(headers=fleet.headers(), verify=NO_TLS, timeout=30) as client:
        body = {"targets": [DARK, WEB], "options": {"wait_time": WAIT_S}}
        posted = client.post(fleet.path(), json=body, headers={"Prefer": "respond-async"})
        path = f"{fleet.path()}/{posted.headers['measurement-id']}"

        def is_half_done() -> bool:
            found = client.get(path).json()
            hops = [len(each["hops"]) for each in found["result"][0]["colos"]]
            return found["result_info"]["rows"]["finished"] == 2 and min(hops) > 5

        wait_until(is_half_done, within_s=WAIT_S)
    freeze(fleet)
    return f"/#/{ACCOUNT}/m/{posted.headers['measurement-id']}"


def line(tab: Page, colo: str) -> Locator:
    """The colo's line of the matrix."""
    return tab.locator(".matrix tbody tr", has=tab.get_by_role("link", name=colo, exact=True))


async def show(tab: Page, target: str) -> None:
    """Show another target of the measurement. A tab behind another one is drawn rarely."""
    await tab.bring_to_front()
    await tab.get_by_role("navigation", name="Targets").get_by_text(target).click()
    await expect(tab.get_by_role("heading", level=1)).to_have_text(target)


async def lines(tab: Page) -> list[str]:
    """The text of each line, whatever its place."""
    return sorted(await tab.locator(".matrix tbody tr").all_inner_texts())


async def test_measurement_is_watched_from_its_start_and_from_later_on(
    own_tab: Page, own_fleet: Fleet
) -> None:
    await sign_in(own_tab, own_fleet)
    await own_tab.get_by_label("Targets").fill(f"{DARK}\n{WEB}")
    await own_tab.get_by_text("Options").click()
    await own_tab.get_by_label("Wait", exact=True).fill(str(WAIT_S))
    await own_tab.get_by_role("button", name="Trace", exact=True).click()
    await expect(own_tab.get_by_text("running: 2 of 4 rows ended")).to_be_visible()
    await expect(line(own_tab, "den02")).to_contain_text("so far")
    await expect(line(own_tab, "den02")).to_contain_text("edge")
    freeze(own_fleet)

    late = await own_tab.context.new_page()
    await sign_in(late, own_fleet, own_tab.url.removeprefix(own_fleet.url))
    await expect(late.get_by_text("running: 2 of 4 rows ended")).to_be_visible()
    await expect(line(late, "den02")).to_contain_text("edge")
    assert await lines(late) == await lines(own_tab)
    thaw(own_fleet)
    for tab in (own_tab, late):
        await expect(tab.locator(".measured")).to_contain_text("2 colos · complete")
        await expect(tab.get_by_role("status")).to_have_text("The measurement is complete")
    for target in (DARK, WEB):
        for tab in (own_tab, late):
            await show(tab, target)
        shown = await lines(own_tab)
        assert await lines(late) == shown
    await own_tab.reload()
    await expect(line(own_tab, "den02")).to_contain_text("web")
    assert await lines(own_tab) == shown


async def test_watching_goes_on_after_the_coordinator_was_killed(
    own_tab: Page, own_fleet: Fleet
) -> None:
    await own_tab.clock.install()
    await sign_in(own_tab, own_fleet, begin(own_fleet))
    await own_tab.evaluate("window.loaded = 'once'")
    await expect(own_tab.get_by_text("running: 2 of 4 rows ended")).to_be_visible()
    await expect(line(own_tab, "den02")).to_contain_text("so far")
    await asyncio.to_thread(own_fleet.stop_coordinator, kill=True)
    thaw(own_fleet)
    await expect(own_tab.get_by_text(GONE)).to_be_visible()
    await expect(line(own_tab, "den02")).to_contain_text("edge")
    await show(own_tab, WEB)
    await expect(line(own_tab, "den02")).to_contain_text("web")

    await asyncio.to_thread(own_fleet.start_coordinator)
    await own_tab.clock.run_for(11_000)  # the longest pause between two attempts
    ended = "incomplete, since its coordinator ended before it did"
    await expect(own_tab.locator(".measured")).to_contain_text(ended)
    await expect(own_tab.get_by_text(GONE)).to_have_count(0)
    await own_tab.clock.run_for(3_000)  # the pause between two sentences that are read out
    await expect(own_tab.get_by_role("status")).to_contain_text(f"The measurement is {ended}")

    await own_tab.get_by_role("link", name="Trace again").click()
    await own_tab.get_by_role("textbox", name="Targets").fill(WEB)
    await own_tab.get_by_role("button", name="Trace", exact=True).click()
    await expect(own_tab.locator(".measured")).to_contain_text("2 colos · complete")
    assert await own_tab.evaluate("window.loaded") == "once"
