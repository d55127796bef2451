"""Two measurements side by side: of the lab, and of a fleet whose carrier has changed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from browser.conftest import Guard
from browser.made_paths import difference, fleet_of
from fleet import Fleet
from fleet.fleet import ACCOUNT, NO_TLS
from playwright.async_api import Locator, Page, expect

WEB, FAR = "web.lab.example", "far.lab.example"


@pytest.fixture(scope="session", name="measured")
def _measured(watched_fleet: Fleet) -> list[str]:
    """Ids: the second has fewer hops than the targets are away, the third fewer colos."""
    bodies: list[dict[str, Any]] = [
        {"targets": [WEB, FAR]},
        {"targets": [WEB, FAR], "options": {"max_ttl": 7}},
        {"targets": [WEB, FAR], "colos": ["den01", "sin01"]},
    ]
    with httpx.Client(headers=watched_fleet.headers(), verify=NO_TLS, timeout=30) as client:
        return [
            client.post(watched_fleet.path(), json=body).headers["measurement-id"]
            for body in bodies
        ]


async def compare(tab: Page, fleet: Fleet, *ids: str, choices: str = "") -> Locator:
    """Show the comparison; the rows of its table."""
    await tab.goto(f"{fleet.url}/#/{ACCOUNT}/compare/{'/'.join(ids)}{choices}")
    await expect(tab.get_by_role("heading", name="What differs")).to_be_visible()
    return tab.get_by_role("region", name="Rows that differ").locator("tbody tr")


async def test_what_changed_alike_comes_first(
    signed_in: Page, watched_fleet: Fleet, measured: list[str]
) -> None:
    before, after, _ = measured
    rows = await compare(signed_in, watched_fleet, before, after)
    await expect(signed_in.locator(".verdict")).to_have_text(
        "8 rows compared, with the paths of 8: 7 rows differ."
    )
    clusters = signed_in.get_by_role("region", name="Cluster")
    await expect(clusters).to_have_count(2)
    await expect(clusters.nth(0)).to_contain_text(f"4 colos no longer reach {FAR}")
    await expect(clusters.nth(1)).to_contain_text(f"den01, den02 and sin01 no longer reach {WEB}")
    await expect(rows).to_have_count(7)
    await expect(rows.first).to_contain_text("target no longer answers")
    await expect(signed_in.get_by_text("Columns are TTLs")).to_have_count(0)  # There are none.
    await expect(signed_in.get_by_text("Measured with other options: max_ttl")).to_be_visible()

    await clusters.nth(1).get_by_role("button", name="Show these rows only").click()
    await expect(rows).to_have_count(3)
    assert signed_in.url.endswith("?cluster=1")
    await signed_in.reload()
    await expect(rows).to_have_count(3)
    await signed_in.get_by_role("link", name="Show all rows").click()
    await expect(rows).to_have_count(7)

    await signed_in.get_by_role("link", name="the other way round").click()
    await expect(clusters.nth(0)).to_contain_text(f"4 colos now reach {FAR}")
    assert signed_in.url.endswith(f"/compare/{after}/{before}")
    await rows.get_by_role("link", name="sin01").last.click()
    await expect(
        signed_in.get_by_role("heading", name=f"sin01 Singapore, SG → {WEB}")
    ).to_be_visible()
    assert f"/m/{before}?view=rows&" in signed_in.url


async def test_rows_that_only_one_has_are_told(
    signed_in: Page, watched_fleet: Fleet, measured: list[str]
) -> None:
    await compare(signed_in, watched_fleet, measured[0], measured[2])
    await expect(signed_in.get_by_text("No row differs.")).to_be_visible()
    await expect(signed_in.locator(".verdict")).to_contain_text("no difference")
    left = signed_in.get_by_role("listitem").filter(has_text="4 rows only before")
    await expect(left).to_contain_text("den02, fra01")


async def test_colos_that_moved_to_another_carrier_are_one_cluster(
    signed_in: Page, watched_fleet: Fleet, measured: list[str]
) -> None:
    result = difference(fleet_of(27), fleet_of(27, moved=True))
    await signed_in.route("**/diff/*", lambda route: route.fulfill(json={"result": result}))
    rows = await compare(signed_in, watched_fleet, *measured[:2])
    cluster = signed_in.get_by_role("region", name="Cluster 1")
    await expect(cluster).to_contain_text("AS64502")
    await expect(cluster).to_contain_text("AS64503")
    await expect(signed_in.get_by_text("Columns are TTLs")).to_be_visible()
    moved = rows.filter(has_text="ms").first
    await expect(moved.locator(".went").first).to_contain_text("\N{MINUS SIGN}")
    await expect(moved.locator(".appeared").first).to_contain_text("+")
    names = await moved.locator(".appeared").evaluate_all("all => all.map((each) => each.title)")
    assert any("AS64503" in name for name in names)
    assert not any("AS64502" in name for name in names)


async def test_measurement_that_is_not_there_is_told(
    signed_in: Page, guard: Guard, watched_fleet: Fleet, measured: list[str]
) -> None:
    guard.allowed.append("status of 404")
    path = f"/#/{ACCOUNT}/compare/{measured[0]}/{'f' * 32}"
    await signed_in.goto(watched_fleet.url + path)
    await expect(signed_in.get_by_role("heading", name="Compare")).to_be_visible()
    await expect(signed_in.get_by_role("alert")).to_contain_text("no measurement with this id")
