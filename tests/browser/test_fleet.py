"""The fleet as a table: what is there, what it can, and what went wrong last."""

from __future__ import annotations

import re
from typing import Any

from browser.conftest import guarded, sign_in
from fleet import Fleet
from fleet.fleet import ACCOUNT
from playwright.async_api import Browser, Locator, Page, Route, expect

COLOS = re.compile(r"/diagnostics/traceroute/colos$")
AGENTS = re.compile(r"/diagnostics/traceroute/agents$")


async def shown(tab: Page, fleet: Fleet, query: str = "") -> tuple[Locator, Locator]:
    """Open the fleet; the rows of its two tables."""
    await tab.goto(f"{fleet.url}/#/{ACCOUNT}/fleet{query}")
    await expect(tab.get_by_role("heading", name="Fleet")).to_be_visible()
    return tuple(
        tab.get_by_role("region", name=name).locator("tbody tr") for name in ("Colos", "Agents")
    )


async def test_colos_and_agents_are_listed(signed_in: Page, watched_fleet: Fleet) -> None:
    colos, agents = await shown(signed_in, watched_fleet)
    await expect(signed_in.get_by_text("4 of 4 colos up, with 4 agents attached.")).to_be_visible()
    await expect(colos).to_have_count(4)
    singapore = colos.filter(has_text="sin01")
    for told in ("Singapore, SG", "up", "1", "ipv4, ipv6", "icmp"):
        await expect(singapore).to_contain_text(told)
    agent = agents.filter(has_text="sin01-a")
    version = str(await agent.get_by_role("cell").nth(1).text_content())
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", version)
    await expect(agent.get_by_role("cell").last).to_have_text("none")
    await singapore.get_by_role("link", name="sin01").click()
    await expect(signed_in.get_by_label("From")).to_have_value("sin01")


async def test_search_is_in_the_url(signed_in: Page, watched_fleet: Fleet) -> None:
    colos, agents = await shown(signed_in, watched_fleet)
    await signed_in.get_by_role("searchbox", name="Search").fill("denver")
    await expect(colos).to_have_count(2)
    assert signed_in.url.endswith("/fleet?q=denver")
    colos, agents = await shown(signed_in, watched_fleet, "?q=sin01-a")
    await expect(signed_in.get_by_text("No colo matches.")).to_be_visible()
    await expect(agents).to_have_count(1)
    await signed_in.get_by_role("searchbox", name="Search").fill("")
    await signed_in.locator("svg.map circle", has_text="fra01").click()
    await expect(colos).to_have_count(1)
    await expect(agents).to_have_count(1)


async def test_trouble_is_told_in_words_and_the_list_is_read_again(
    chromium: Browser, watched_fleet: Fleet
) -> None:
    async with guarded(chromium, watched_fleet.url) as (context, guard):
        guard.allowed.append("net::ERR_")
        await watch_trouble(await context.new_page(), watched_fleet)


async def watch_trouble(tab: Page, watched_fleet: Fleet) -> None:
    async def change(route: Route, changes: dict[str, dict[str, Any]], key: str) -> None:
        answer = await (await route.fetch()).json()
        for each in answer["result"]:
            each |= changes.get(each[key], {})
        await route.fulfill(json=answer)

    down = {"sin01": {"state": "down", "agents": 0}, "fra01": {"state": "draining"}}
    trouble = {"fra01-a": {"last_trouble": "2026-11-28T10:00:00Z: cannot send: permission denied"}}
    await tab.clock.install()
    await sign_in(tab, watched_fleet)
    colos, agents = await shown(tab, watched_fleet)
    await expect(colos.filter(has_text="up")).to_have_count(4)
    await tab.route(COLOS, lambda route: change(route, down, "name"))
    await tab.route(AGENTS, lambda route: change(route, trouble, "id"))
    await tab.clock.run_for(16_000)
    await expect(tab.get_by_text("2 of 4 colos up")).to_be_visible()
    await expect(colos.filter(has_text="sin01")).to_contain_text("down: no agent is attached")
    await expect(colos.filter(has_text="fra01")).to_contain_text("its agents take no new traces")
    told = agents.filter(has_text="fra01-a").get_by_role("cell").last
    await expect(told).to_contain_text("cannot send: permission denied")

    await tab.unroute_all()
    await tab.route(COLOS, lambda route: route.abort())
    await tab.clock.run_for(16_000)
    await expect(tab.get_by_role("alert")).to_contain_text("does not answer")
    await expect(colos).to_have_count(4)
    await tab.unroute_all()
    await tab.get_by_role("button", name="Try again").click()
    await expect(tab.get_by_text("4 of 4 colos up")).to_be_visible()
    await expect(tab.get_by_role("alert")).to_have_count(0)
