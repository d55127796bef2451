"""The path graph of a measurement: in the lab, and of fleets that no lab has."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import httpx
import pytest
from browser.conftest import WITHIN_MS, Guard
from browser.made_paths import answer, difference, fleet_of, long_path, wide_hop
from colotrace_analysis.graph import By
from colotrace_proto.measured import Measured
from eventually import until
from fleet import Fleet
from fleet.fleet import ACCOUNT
from playwright.async_api import Locator, Page, Route, expect

Shows = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="session", name="measurement_id")
def _measurement_id(watched_fleet: Fleet) -> str:
    body = {"targets": ["web.lab.example", "far.lab.example"], "options": {"multipath": True}}
    posted = httpx.post(
        watched_fleet.path(), headers=watched_fleet.headers(), json=body, timeout=30
    )
    return str(posted.headers["measurement-id"])


@pytest.fixture(name="graph_of")
def _graph_of(signed_in: Page, watched_fleet: Fleet, measurement_id: str) -> Shows:
    """Shows the graph of the lab's measurement, or of another one in its place."""

    async def shows(choices: str = "", made: Measured | None = None) -> Page:
        async def made_answer(route: Route) -> None:
            (by,) = parse_qs(urlsplit(route.request.url).query)["by"]
            told = await (await route.fetch()).json()
            await route.fulfill(json={**told, "result": answer(made, By(by))})

        if made is not None:
            await signed_in.route(re.compile(r"/graph\?"), made_answer)
        path = f"/#/{ACCOUNT}/m/{measurement_id}?view=graph&{choices}"
        await signed_in.goto(watched_fleet.url + path)
        await nodes(signed_in).first.wait_for()
        return signed_in

    return shows


def nodes(tab: Page) -> Locator:
    return tab.locator(".paths-frame [data-node]")


def edges(tab: Page) -> Locator:
    return tab.locator(".paths-frame [data-edge]")


async def names(tab: Page) -> list[str]:
    return [str(await each.get_attribute("aria-label")) for each in await nodes(tab).all()]


async def test_paths_are_folded_by_as_at_first(graph_of: Shows) -> None:
    tab = await graph_of()
    found = await names(tab)
    assert {"den01", "den02", "fra01", "sin01"} <= {each.split(",")[0] for each in found}
    assert "AS64505, 4 addresses" in found
    assert "web.lab.example, AS64508" in found
    assert not any(each.startswith("far.lab") for each in found)


async def test_each_address_is_a_node_on_request_and_the_link_says_so(graph_of: Shows) -> None:
    tab = await graph_of()
    await tab.get_by_label("Fold by").select_option("address")
    await expect(nodes(tab).filter(has_text="hub.lab.example")).to_have_count(1)
    assert "by=address" in tab.url
    silent = nodes(tab).and_(tab.locator(".silent"))
    assert "no answer at hop" in str(await silent.first.get_attribute("aria-label"))


async def test_balanced_branches_have_their_share(graph_of: Shows) -> None:
    """`split` has two routes to `join`, and flows take both."""
    tab = await graph_of("by=address", wide_hop(2))
    await expect(edges(tab).filter(has_text="50 %")).to_have_count(4)
    await expect(tab.get_by_text("load-balanced: share of the branch")).to_be_visible()


async def test_all_targets_are_drawn_on_request(graph_of: Shows) -> None:
    tab = await graph_of()
    await tab.get_by_label("All targets").check()
    await expect(nodes(tab).filter(has_text="far.lab.example")).to_have_count(1)
    assert "targets=all" in tab.url


async def test_click_shows_details_with_links_to_the_rows(graph_of: Shows) -> None:
    tab = await graph_of("by=address")
    await nodes(tab).filter(has_text="c3.lab.example").click()
    details = tab.get_by_label("Details of c3.lab.example")
    await expect(details).to_contain_text("AS64505")
    await expect(details).to_contain_text("Passed by 2 colos")
    dim = tab.locator(".paths-frame [data-node]:not(.on)")
    assert "den1.lab.example" in " ".join(await dim.all_text_contents())
    await details.get_by_role("link", name="sin01").click()
    await expect(tab).to_have_url(re.compile(r"view=matrix&target=web.lab.example&colo=sin01"))


async def test_chosen_node_stays_in_the_frame_beside_its_details(graph_of: Shows) -> None:
    """The details take a third of the width."""
    tab = await graph_of("by=address")
    await nodes(tab).filter(has_text="c3.lab.example").click()
    await expect(tab.get_by_label("Details of c3.lab.example")).to_be_visible()
    chosen = tab.locator(".paths-frame [data-node][aria-selected=true]")

    async def within() -> bool:
        node, frame = [await each.bounding_box() for each in (chosen, tab.locator(".paths-frame"))]
        assert node is not None
        assert frame is not None
        return node["x"] + node["width"] <= frame["x"] + frame["width"]

    await until(within, within_s=WITHIN_MS / 1_000)


async def test_legend_has_the_colours_of_lines_and_of_boxes(graph_of: Shows) -> None:
    """Those of boxes are paler, and there only if a box has one."""
    tab = await graph_of("by=asn", long_path(30))
    legend = tab.locator(".legend li")
    hot = legend.filter(has_text="+50 to 100 ms")
    await expect(hot.locator(".edge.heat-4")).to_have_count(1)
    boxes = await nodes(tab).and_(tab.locator(".heat-1, .heat-2, .heat-3, .heat-4")).count()
    await expect(hot.locator(".node.heat-4")).to_have_count(1 if boxes else 0)
    assert boxes


async def test_hover_lights_only_ways_that_packets_took(graph_of: Shows) -> None:
    tab = await graph_of("by=address")
    await nodes(tab).filter(has_text="fra1.lab.example").hover()
    lit = tab.locator(".paths-frame [data-node].on")
    await expect(lit).to_have_count(7)  # fra01, fra1, c3, silence, hub, edge, web


async def test_keys_follow_the_edges(graph_of: Shows) -> None:
    tab = await graph_of("by=address")
    await nodes(tab).filter(has_text="fra01").focus()
    for _ in range(2):
        await tab.keyboard.press("ArrowRight")
    focused = tab.locator(".paths-frame [data-node]:focus")
    await expect(focused).to_contain_text("c3.lab.example")
    await tab.keyboard.press("Enter")
    await expect(tab.get_by_label("Details of c3.lab.example")).to_be_visible()
    await tab.keyboard.press("Escape")
    await expect(tab.get_by_label("Details of c3.lab.example")).to_have_count(0)
    await tab.keyboard.press("Home")
    await expect(focused).to_contain_text("den01")


async def test_table_says_the_same(graph_of: Shows) -> None:
    tab = await graph_of()
    await tab.get_by_text("The same as a table").click()
    table = tab.get_by_role("region", name="The paths as a table")
    rows = table.locator("tbody tr")
    await expect(rows).to_have_count(await nodes(tab).count())
    row = rows.filter(has=tab.get_by_role("rowheader", name="AS64508", exact=True))
    await expect(row).to_contain_text("web.lab.example: 100 %")


async def _width(picture: Locator) -> float:
    box = await picture.bounding_box()
    assert box
    return box["width"]


async def test_zoom_by_buttons_and_wheel(graph_of: Shows) -> None:
    tab = await graph_of("by=address")
    picture = tab.locator(".paths-frame > svg")
    widths = [await _width(picture)]
    await tab.get_by_role("button", name="Larger").click()
    await expect(picture).not_to_have_attribute("width", str(round(widths[-1])))
    widths.append(await _width(picture))
    await nodes(tab).first.hover()
    await tab.keyboard.down("Control")
    await tab.mouse.wheel(0, 100)
    await tab.keyboard.up("Control")
    await expect(picture).not_to_have_attribute("width", str(round(widths[-1])))
    widths.append(await _width(picture))
    assert widths[1] > widths[0]
    assert widths[2] < widths[1]


async def test_fleet_of_300_is_folded_and_its_findings_are_marked(graph_of: Shows) -> None:
    tab = await graph_of("", fleet_of(300))
    assert await nodes(tab).count() < 40
    sentence = tab.get_by_role("button", name="36 of 36 slow colos cross 192.0.3.100")
    marked = nodes(tab).filter(has_text="AS64503")
    await expect(marked.locator(".ring")).to_have_count(1)
    await expect(marked.locator(".badge")).to_be_visible()
    assert "finding 1" in str(await marked.get_attribute("aria-label"))
    await sentence.click()
    await expect(sentence).to_have_attribute("aria-pressed", "true")
    await expect(tab.locator(".paths-frame svg.dim")).to_have_count(1)
    await expect(nodes(tab).filter(has_text="AS64501")).not_to_have_class(re.compile(r"\bon\b"))


async def test_group_of_colos_can_be_drawn_apart(graph_of: Shows) -> None:
    tab = await graph_of("", fleet_of(27))
    before = await nodes(tab).count()
    await nodes(tab).filter(has_text="5 colos").first.click()
    await tab.get_by_role("button", name="Draw these colos apart").click()
    await expect(nodes(tab)).not_to_have_count(before)
    assert await nodes(tab).count() > before
    assert "open=" in tab.url


@pytest.mark.parametrize(
    ("made", "count"),
    [(fleet_of(1), 9), (long_path(30), 31), (wide_hop(8), 14)],
    ids=["1 colo", "30 hops", "8 nodes at a hop"],
)
async def test_extremes_are_drawn(graph_of: Shows, made: Measured, count: int) -> None:
    tab = await graph_of("by=address", made)
    await expect(nodes(tab)).to_have_count(count)
    await tab.get_by_role("button", name="Fit").click()
    boxes = [await each.bounding_box() for each in await nodes(tab).all()]
    assert all(box and box["x"] >= 0 for box in boxes)


async def test_picture_is_saved_with_its_own_style(graph_of: Shows) -> None:
    tab = await graph_of("", fleet_of(27))
    await tab.get_by_text("Save", exact=True).click()
    async with tab.expect_download() as saved:
        await tab.get_by_role("button", name="Picture (SVG)").click()
    text = (await (await saved.value).path()).read_text()
    root = ElementTree.fromstring(text)  # noqa: S314 - the page made it
    parts = {each.tag.rpartition("}")[2] for each in root.iter()}
    assert {"style", "title", "rect", "path", "text"} <= parts
    assert "AS64503" in text
    assert "var(" not in text
    assert not re.search(r"\b(style|href|tabindex|role)=", text)


async def test_failure_says_so_and_can_be_tried_again(
    graph_of: Shows, guard: Guard, signed_in: Page
) -> None:
    guard.allowed.append("Failed to load resource")
    tab = await graph_of()
    await signed_in.route(re.compile(r"/graph\?by=city"), lambda route: route.abort())
    await tab.get_by_label("Fold by").select_option("city")
    await expect(tab.get_by_role("alert")).to_contain_text("does not answer")
    await signed_in.unroute_all()
    await tab.get_by_role("button", name="Try again").click()
    await expect(nodes(tab).filter(has_text="Frankfurt")).to_have_count(1)


async def test_graph_of_differences_marks_what_the_comparison_tells(
    signed_in: Page, watched_fleet: Fleet
) -> None:
    first, second = "1" * 32, "2" * 32
    fleets = {first: fleet_of(27), second: fleet_of(27, moved=True)}

    async def made_answer(route: Route) -> None:
        _, _, path = urlsplit(route.request.url).path.partition("/traceroute/")
        measurement, _, what = path.partition("/")
        result: object = []
        if what.startswith("diff/"):
            result = difference(fleets[first], fleets[second])
        elif what == "graph":
            result = answer(fleets[measurement], By.ASN)
        info = {"began_at": "2026-11-29T00:00:00Z", "targets": ["www.example.com"]}
        told = {"success": True, "errors": [], "messages": [], "result_info": info}
        await route.fulfill(json={**told, "result": result})

    await signed_in.route(re.compile(r"/traceroute/[12]{32}"), made_answer)
    path = f"/#/{ACCOUNT}/compare/{first}/{second}?view=graph"
    await signed_in.goto(watched_fleet.url + path)
    gone = signed_in.locator(".paths-frame .node.gone")
    await expect(gone).to_have_count(1)
    await expect(gone).to_contain_text("AS64502")
    await expect(signed_in.locator(".paths-frame .edge.new").first).to_contain_text("new")
    await expect(signed_in.locator(".paths-frame .node.new")).to_have_count(0)
