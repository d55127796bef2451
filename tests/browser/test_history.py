"""The list of measurements, and rows over time."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from fleet import Fleet
from fleet.fleet import ACCOUNT, NO_TLS
from playwright.async_api import Locator, Page, Route, expect

ONE, OTHER = "198.18.40.31", "198.18.40.32"
"""No other test traces these."""
DARK = "dark.lab.example"


@pytest.fixture(scope="session", name="measured")
def _measured(watched_fleet: Fleet) -> list[str]:
    """Ids of measurements, oldest first."""
    bodies: list[dict[str, Any]] = [
        {"targets": [ONE]},
        {"targets": [ONE, DARK], "options": {"max_ttl": 7}},
        {"targets": [OTHER], "colos": ["sin01"], "options": {"packet_type": "udp"}},
        {"targets": [ONE]},
    ]
    with httpx.Client(headers=watched_fleet.headers(), verify=NO_TLS, timeout=30) as client:
        return [
            client.post(watched_fleet.path(), json=body).headers["measurement-id"]
            for body in bodies
        ]


async def shown(tab: Page, fleet: Fleet, query: str = "") -> Locator:
    """Open the list; its rows."""
    await tab.goto(f"{fleet.url}/#/{ACCOUNT}/history{query}")
    await expect(tab.get_by_role("heading", name="History")).to_be_visible()
    return tab.get_by_role("region", name="Measurements").locator("tbody tr")


@pytest.mark.usefixtures("measured")
async def test_filters_are_in_the_url(signed_in: Page, watched_fleet: Fleet) -> None:
    rows = await shown(signed_in, watched_fleet)
    await signed_in.get_by_label("Target").fill(ONE)
    await signed_in.get_by_label("Target").press("Enter")
    await expect(rows).to_have_count(3)
    await signed_in.get_by_label("Outcome").select_option("targets unreached")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text(f"{ONE}, {DARK}")
    await expect(rows).to_contain_text("7 unreached")
    assert signed_in.url.endswith(f"/history?target={ONE}&outcome=unreached")
    await signed_in.reload()
    await expect(rows).to_have_count(1)
    await expect(signed_in.get_by_label("Outcome")).to_have_value("unreached")
    await signed_in.go_back()
    await signed_in.go_forward()
    await expect(rows).to_have_count(1)
    await signed_in.get_by_role("button", name="Clear").click()
    await expect(rows.nth(3)).to_be_visible()
    await expect(signed_in.get_by_label("Target")).to_have_value("")

    rows = await shown(signed_in, watched_fleet, f"?target={OTHER}&packet_type=udp&colo=sin")
    await expect(rows).to_have_count(1)
    await signed_in.get_by_label("Since").fill("2026-01-01T00:00")
    await signed_in.get_by_label("Since").press("Tab")
    await signed_in.get_by_label("Until").fill("2026-01-02T00:00")
    await signed_in.get_by_label("Until").press("Tab")
    await expect(signed_in.get_by_text("No measurement is kept that matches.")).to_be_visible()


@pytest.mark.usefixtures("measured")
async def test_more_is_shown_on_request(signed_in: Page, watched_fleet: Fleet) -> None:
    async def small(route: Route) -> None:
        await route.continue_(url=route.request.url.replace("per_page=50", "per_page=2"))

    await signed_in.route(re.compile(r"per_page=50"), small)
    rows = await shown(signed_in, watched_fleet, f"?target={ONE}")
    await expect(rows).to_have_count(2)
    more = signed_in.get_by_role("button", name="Show more")
    await more.dblclick()
    await expect(rows).to_have_count(3)
    await expect(more).to_have_count(0)


async def test_two_ticked_measurements_are_compared(
    signed_in: Page, watched_fleet: Fleet, measured: list[str]
) -> None:
    rows = await shown(signed_in, watched_fleet, f"?target={ONE}")
    boxes = rows.get_by_role("checkbox")
    for number in range(3):
        await boxes.nth(number).check()
    await expect(boxes.nth(0)).not_to_be_checked()
    await boxes.nth(1).uncheck()
    await boxes.nth(0).check()
    await signed_in.get_by_role("link", name="Compare the two ticked measurements").click()
    await expect(signed_in.get_by_role("heading", name="What differs")).to_be_visible()
    assert signed_in.url.endswith(f"/compare/{measured[0]}/{measured[3]}")


async def test_measurements_of_one_minute_are_told_apart_by_their_time(
    signed_in: Page, watched_fleet: Fleet, measured: list[str]
) -> None:
    rows = await shown(signed_in, watched_fleet, f"?target={ONE}")
    await expect(rows).to_have_count(3)
    clock = re.compile(r"\d:\d\d:\d\d")
    for row in await rows.all():
        await expect(row.get_by_role("link")).to_have_text(clock)
        assert await row.get_by_role("link").evaluate("each => each.getClientRects().length") == 1
    await signed_in.goto(
        f"{watched_fleet.url}/#/{ACCOUNT}/pair/{measured[3]}?target={ONE}&colo=sin01"
    )
    moments = signed_in.get_by_role("region", name="Moments").get_by_role("rowheader")
    await expect(moments.first).to_have_text(clock)


async def test_line_leads_to_its_measurement(
    signed_in: Page, watched_fleet: Fleet, measured: list[str]
) -> None:
    rows = await shown(signed_in, watched_fleet, f"?target={OTHER}")
    await rows.get_by_role("link").click()
    await expect(signed_in.get_by_role("heading", name=OTHER)).to_be_visible()
    assert signed_in.url.endswith(f"/m/{measured[2]}")
    await signed_in.go_back()
    await expect(rows).to_have_count(1)


async def test_rows_over_time_show_what_has_changed(
    signed_in: Page, watched_fleet: Fleet, measured: list[str]
) -> None:
    """The second of three measurements ends before the target, which is a change, and another."""
    pair = f"{watched_fleet.url}/#/{ACCOUNT}/pair/{measured[3]}?target={ONE}"
    await signed_in.goto(pair)
    pictures = signed_in.locator("svg.series")
    await expect(pictures).to_have_count(4)
    singapore = signed_in.get_by_role("region", name="sin01")
    times = singapore.locator("svg > text").filter(has_text=re.compile(r"\d:\d\d"))
    await expect(times).to_have_count(2)  # Of the first column and of the last.
    moments = singapore.get_by_role("link", name=re.compile(" ms|did not answer"))
    await expect(moments).to_have_count(2)
    await singapore.get_by_role("link", name="sin01").click()
    await expect(pictures).to_have_count(1)
    lines = signed_in.get_by_role("region", name="Moments").locator("tbody tr")
    await expect(lines).to_have_count(3)
    await expect(lines.nth(0)).to_contain_text(" ms")
    await expect(lines.nth(1)).to_contain_text("no answer")
    await signed_in.reload()  # From here on, the other colos are not known.
    await expect(pictures).to_have_count(1)
    await signed_in.get_by_role("link", name="all colos").click()
    await expect(pictures).to_have_count(4)
    await moments.last.focus()
    await signed_in.keyboard.press("Enter")
    await expect(signed_in.get_by_role("heading", name="What differs")).to_be_visible()
    assert signed_in.url.endswith(f"/compare/{measured[1]}/{measured[3]}")
