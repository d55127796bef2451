"""Every view for everyone: axe-core's rules, light and dark, 360 pixels, keyboard, less motion."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from browser.conftest import guarded, sign_in
from fleet import Fleet
from fleet.fleet import ACCOUNT, NO_TLS
from playwright.async_api import Browser, Page, expect

WEB, DARK, NOWHERE = "web.lab.example", "dark.lab.example", "nowhere.lab.example"
VIEWS = {
    "form": ("trace?targets=web.lab.example&from=den+xyz&max_ttl=99&port=5", ".snippets"),
    "matrix": ("m/{1}", ".matrix td.number"),
    "matrix from the source": ("m/{1}?align=source&shade=loss", ".matrix td.number"),
    "matrix without an answer": ("m/{1}?target=dark.lab.example", ".matrix td.bad"),
    "matrix of errors": ("m/{1}?target=nowhere.lab.example", ".matrix td.bad"),
    "rows": ("m/{1}?view=rows", "table.rows tbody tr"),
    "row": ("m/{1}?view=rows&colo=sin01&hop=3", "tr.chosen circle"),
    "graph": ("m/{1}?view=graph", ".paths-frame [data-node]"),
    "graph of addresses": ("m/{1}?view=graph&by=address", ".paths-frame [data-node]"),
    "comparison": ("compare/{0}/{1}", "table.difference tbody tr"),
    "comparison as a graph": ("compare/{0}/{1}?view=graph", "svg [data-node]"),
    "history": ("history", "table.history tbody tr"),
    "history without a match": ("history?target=nobody.example", "main p a"),
    "colos over time": ("pair/{1}", "svg.series .moment"),
    "colo over time": ("pair/{1}?colo=sin01", "svg.series .moment"),
    "fleet": ("fleet", "table.fleet tbody tr"),
    "no such measurement": ("m/00000000000000000000000000000001", ".problem"),
    "no such view": ("nothing", ".problem"),
}
"""By name: the route, and what is there once the view is complete."""
OVERFLOW = """() => [...document.querySelectorAll('body *')]
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  .slice(0, 9)
  .map((each) => `${each.tagName}.${each.getAttribute('class')}: ${each.textContent.slice(0, 40)}`)
"""
MOVING = """() => [...document.querySelectorAll('*')].filter((each) => {
  const { animationName, transitionDuration, scrollBehavior } = getComputedStyle(each);
  return animationName !== 'none' || transitionDuration !== '0s' || scrollBehavior === 'smooth';
}).map((each) => each.getAttribute('class'))"""
VIOLATIONS = """async (options) => (await axe.run(options)).violations.flatMap(({ id, nodes }) =>
  nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`))"""


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="reader")
async def _reader(chromium: Browser, watched_fleet: Fleet) -> AsyncIterator[Page]:
    """A tab that is signed in, for tests that only look."""
    async with guarded(chromium, watched_fleet.url) as (context, guard):
        guard.allowed.append("status of 404")
        tab = await context.new_page()
        await sign_in(tab, watched_fleet)
        yield tab


@pytest.fixture(scope="session", name="measured")
def _measured(watched_fleet: Fleet) -> list[str]:
    """The ids of two measurements that differ."""
    targets = [WEB, DARK, NOWHERE]
    bodies: list[dict[str, Any]] = [
        {"targets": targets, "options": {"family": 4}},
        {"targets": targets, "options": {"family": 6, "multipath": True}},
    ]
    with httpx.Client(headers=watched_fleet.headers(), verify=NO_TLS, timeout=30) as client:
        return [
            client.post(watched_fleet.path(), json=body).headers["measurement-id"]
            for body in bodies
        ]


async def violations(tab: Page, *, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe-core finds: the rule, and where."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = list(rules)
    if not await tab.evaluate("'axe' in window"):
        await tab.evaluate(Axe().axe_script)
    found: list[str] = await tab.evaluate(VIOLATIONS, options)
    return found


async def examine(tab: Page) -> None:
    """The view that is shown passes in both colour schemes, and fits 360 pixels."""
    assert await violations(tab) == []
    await tab.emulate_media(color_scheme="dark")
    assert await violations(tab, rules=("color-contrast",)) == []
    await tab.emulate_media(color_scheme="light")
    size = tab.viewport_size
    assert size
    await tab.set_viewport_size({"width": 360, "height": 740})
    width = await tab.evaluate("document.documentElement.scrollWidth")
    assert width == 360, await tab.evaluate(OVERFLOW)
    await tab.set_viewport_size(size)


@pytest.mark.parametrize("name", VIEWS)
async def test_view(reader: Page, watched_fleet: Fleet, measured: list[str], name: str) -> None:
    path, complete = VIEWS[name]
    await reader.goto(f"{watched_fleet.url}/#/{ACCOUNT}/{path.format(*measured)}")
    await reader.locator(complete).first.wait_for(state="attached")
    for each in await reader.locator("main details:not([open]):not(.menu) > summary").all():
        await each.click()
    await examine(reader)


async def test_signing_in(tab: Page, watched_fleet: Fleet) -> None:
    await tab.goto(watched_fleet.url)
    await tab.get_by_role("button", name="Sign in").click()
    await expect(tab.get_by_role("alert")).to_be_visible()
    await examine(tab)


async def test_menu_and_chosen_colours(
    reader: Page, watched_fleet: Fleet, measured: list[str]
) -> None:
    await reader.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{measured[0]}")
    await reader.locator("summary", has_text="Save").click()
    await expect(reader.get_by_role("button", name="HTML page, as evidence")).to_be_visible()
    await examine(reader)
    await reader.keyboard.press("Escape")
    papers = set()
    for name in ("as the system", "light", "dark"):
        button = reader.get_by_role("button", name=f"Colours: {name}")
        papers.add(await reader.evaluate("getComputedStyle(document.body).backgroundColor"))
        await button.click()
    assert len(papers) == 2


async def test_nothing_moves_for_who_wants_less_motion(
    reader: Page, watched_fleet: Fleet, measured: list[str]
) -> None:
    await reader.emulate_media(reduced_motion="reduce")
    for view in ("m/{0}", "m/{0}?view=graph", "pair/{0}"):
        await reader.goto(f"{watched_fleet.url}/#/{ACCOUNT}/{view.format(*measured)}")
        await reader.locator("main h1").wait_for()
        assert await reader.evaluate(MOVING) == []
    await reader.emulate_media(reduced_motion="no-preference")


async def test_keyboard_alone_signs_in_traces_and_reads_a_row(
    tab: Page, watched_fleet: Fleet
) -> None:
    keys = tab.keyboard

    async def press(key: str, until: str) -> None:
        """Press a key until the focus is at what the selector names, and at nothing smaller."""
        for _ in range(60):
            await keys.press(key)
            if await tab.evaluate("selector => document.activeElement.matches(selector)", until):
                return
        raise AssertionError(until)

    await tab.goto(watched_fleet.url)
    await expect(tab.get_by_label("API token")).to_be_focused()
    await keys.type(watched_fleet.token)
    await keys.press("Enter")
    await expect(tab.get_by_label("Targets")).to_be_focused()
    await keys.type(WEB)
    await keys.press("Tab")
    await keys.type("den sin")
    await press("Tab", "button.main")
    await keys.press("Enter")
    await expect(tab.locator(".measured")).to_contain_text("3 colos · complete")
    await press("Tab", ".matrix tbody a")
    await keys.press("PageUp")
    if "sin01" not in await tab.evaluate("document.activeElement.textContent"):
        await press("ArrowDown", ".matrix a[href*='colo=sin01']")
    for _ in range(6):
        await keys.press("ArrowRight")
    await keys.press("Enter")
    await expect(tab.get_by_role("heading", level=2)).to_contain_text("sin01")
    await expect(tab.locator(".hops tr.chosen")).to_contain_text("sin3.lab.example")
    await tab.go_back()  # the browser's key for it reaches no page
    await expect(tab.locator(".matrix td.chosen")).to_be_focused()
    await expect(tab.locator(".matrix td.chosen")).to_contain_text("sin3")
