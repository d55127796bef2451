"""The matrix of a measurement and its rows: in the lab, and of fleets that no lab has."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

import httpx
import pytest
from browser.conftest import Guard
from browser.made_events import Event, events, stream
from browser.made_paths import answer, fleet_of, long_path, wide_hop
from colotrace_analysis.graph import By
from colotrace_coordinator.model import Message
from colotrace_proto.measured import Measured
from colotrace_proto.tally import Known
from fleet import Fleet
from fleet.fleet import ACCOUNT
from msgspec.structs import replace
from playwright.async_api import Locator, Page, Route, expect

TARGETS = ["web.lab.example", "198.18.20.100", "nosuch.lab.example"]
MADE = "00000000000000000000000000000001"
Shows = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="session", name="measurement_id")
def _measurement_id(watched_fleet: Fleet) -> str:
    return measured(watched_fleet, {"targets": TARGETS})


def measured(fleet: Fleet, body: dict[str, object], **headers: str) -> str:
    """The id of a measurement."""
    posted = httpx.post(fleet.path(), headers={**fleet.headers(), **headers}, json=body, timeout=30)
    return str(posted.headers["measurement-id"])


@pytest.fixture(name="lab_shows")
def _lab_shows(signed_in: Page, watched_fleet: Fleet, measurement_id: str) -> Shows:
    """Shows the measurement of the lab."""

    async def shows(choices: str = "") -> Page:
        await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{measurement_id}?{choices}")
        await signed_in.get_by_role("navigation", name="Ways to show it").wait_for()
        return signed_in

    return shows


@pytest.fixture(name="made_shows")
def _made_shows(signed_in: Page, watched_fleet: Fleet, guard: Guard) -> Shows:
    """Shows a made-up measurement."""

    async def shows(made: Measured, choices: str = "", told: Sequence[Event] | None = None) -> Page:
        body = stream(events(made) if told is None else told)

        async def made_events(route: Route) -> None:
            await route.fulfill(body=body, content_type="text/event-stream")

        async def made_graph(route: Route) -> None:
            await route.fulfill(json={"result": answer(made, By.ASN)})

        guard.allowed.append("status of 404")  # The replies of a row, which nothing has made.
        await signed_in.route(f"**/{MADE}/events", made_events)
        await signed_in.route(f"**/{MADE}/graph?*", made_graph)
        await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{MADE}?{choices}")
        await signed_in.get_by_role("navigation", name="Ways to show it").wait_for()
        return signed_in

    return shows


def lines(tab: Page) -> Locator:
    return tab.locator(".matrix tbody tr")


def line(tab: Page, colo: str) -> Locator:
    return lines(tab).filter(has=tab.get_by_role("link", name=colo, exact=True))


async def colos(tab: Page) -> list[str]:
    return await tab.locator(".matrix tbody th a").all_text_contents()


async def focused(tab: Page) -> str:
    return str(await tab.evaluate("document.activeElement.textContent"))


async def test_paths_are_aligned_at_the_target(lab_shows: Shows) -> None:
    tab = await lab_shows()
    heads = await tab.locator(".matrix thead th").all_inner_texts()
    assert [int(head.replace("\N{MINUS SIGN}", "-")) for head in heads[4:-1]] == [*range(-9, 0)]
    assert heads[-1] == "target"
    for colo in ("den01", "den02", "fra01", "sin01"):
        await expect(line(tab, colo).locator("td").last).to_contain_text("web")
        await expect(line(tab, colo).locator("td").nth(-2)).to_contain_text("edge")


async def test_paths_are_aligned_at_the_source_on_request(lab_shows: Shows) -> None:
    tab = await lab_shows()
    await tab.get_by_label("Align at").select_option("source")
    await expect(line(tab, "sin01").locator("td").nth(3)).to_contain_text("sin1")
    await expect(line(tab, "fra01").locator("td").nth(3)).to_contain_text("fra1")
    assert "align=source" in tab.url


async def test_shared_router_has_one_tint_and_silence_is_told(lab_shows: Shows) -> None:
    tab = await lab_shows()
    hubs = lines(tab).locator("td", has_text=re.compile("^hub"))
    await expect(hubs).to_have_count(4)
    kinds = {
        re.search(r"tint-(\d)", await hubs.nth(place).get_attribute("class") or "")[1]  # type: ignore[index]
        for place in range(4)
    }
    assert len(kinds) == 1
    assert kinds != {"0"}
    await expect(line(tab, "sin01").get_by_role("cell", name="no answer")).to_have_count(1)


async def test_target_is_chosen_by_a_link(lab_shows: Shows) -> None:
    tab = await lab_shows()
    await tab.get_by_role("navigation", name="Targets").get_by_text(TARGETS[1]).click()
    await expect(tab.get_by_role("heading", level=1)).to_have_text(TARGETS[1])
    assert f"target={TARGETS[1]}" in tab.url


async def test_each_target_says_how_many_rows_did_not_reach_it(lab_shows: Shows) -> None:
    """Without a look at each: the head counts those of all targets."""
    targets = (await lab_shows()).get_by_role("navigation", name="Targets").get_by_role("link")
    await expect(targets).to_have_text([*TARGETS[:2], f"{TARGETS[2]} 4 not reached"])


async def test_rows_that_failed_say_why_in_words(lab_shows: Shows) -> None:
    tab = await lab_shows(f"target={TARGETS[2]}")
    await expect(lines(tab).first).to_contain_text("does not resolve")
    failed = tab.get_by_role("listitem").filter(has_text="den01, den02, fra01, sin01: ")
    await expect(failed).to_contain_text("the name does not resolve")


async def test_click_opens_the_row_at_its_hop_and_back_marks_the_cell(lab_shows: Shows) -> None:
    tab = await lab_shows()
    await line(tab, "sin01").locator("td", has_text="sin3").click()
    await expect(tab.get_by_role("heading", level=2)).to_contain_text("sin01")
    await expect(tab.locator(".hops tr.chosen")).to_contain_text("sin3.lab.example")
    await tab.go_back()
    await expect(tab.locator(".matrix td.chosen")).to_contain_text("sin3")
    assert (await focused(tab)).startswith("sin3")


async def test_row_says_after_which_hop_there_is_silence(
    signed_in: Page, watched_fleet: Fleet
) -> None:
    body = {"targets": ["dark.lab.example"], "colos": ["fra01"], "options": {"max_ttl": 8}}
    path = f"/#/{ACCOUNT}/m/{measured(watched_fleet, body)}?view=rows&colo=fra01"
    await signed_in.goto(watched_fleet.url + path)
    await expect(signed_in.get_by_text("8 hops, no answer after hop 5; ")).to_be_visible()


async def test_arrows_lead_to_the_rows_beside(lab_shows: Shows) -> None:
    tab = await lab_shows("view=rows&colo=den02")
    await expect(tab.get_by_title("Previous colo")).to_have_text("← den01")
    await expect(tab.get_by_title("Next colo")).to_have_text("fra01 →")


async def test_row_shows_each_reply(lab_shows: Shows) -> None:
    tab = await lab_shows("view=rows&colo=den01")
    await expect(tab.get_by_role("columnheader", name="RTT of each reply, ms")).to_be_visible()
    plots = tab.get_by_role("img", name=re.compile(r"^3 replies: [\d.]+, [\d.]+, [\d.]+ ms$"))
    await expect(plots).to_have_count(8)
    await expect(plots.first.locator("circle")).to_have_count(3)


async def test_rows_are_listed_with_the_way_to_each(lab_shows: Shows) -> None:
    tab = await lab_shows("view=rows")
    await tab.get_by_role("row", name="fra01").get_by_role("link").click()
    await expect(tab.locator(".hops tbody")).to_have_count(6)
    await tab.get_by_role("link", name="sin01").click()
    await expect(tab.get_by_role("heading", level=2)).to_contain_text("sin01")
    await tab.get_by_role("link", name="All rows").click()
    await expect(tab.locator("table.rows tbody tr")).to_have_count(4)


async def test_colo_that_is_not_there_is_told(lab_shows: Shows) -> None:
    tab = await lab_shows("view=rows&colo=xyz01")
    await expect(tab.get_by_text("No colo of this measurement is called xyz01")).to_be_visible()


async def test_arrow_keys_go_from_cell_to_cell_and_enter_opens_the_row(lab_shows: Shows) -> None:
    tab = await lab_shows("sort=name")
    stops = tab.locator('.matrix tbody a[tabindex="0"]')
    await expect(stops).to_have_text(["den01"])
    await stops.focus()
    for key in ("ArrowDown", "ArrowDown", "End"):
        await tab.keyboard.press(key)
    assert (await focused(tab)).startswith("web")
    await expect(stops).to_have_text(["fra01"])
    await expect(tab.locator(".pointed")).to_contain_text("fra01 hop 6: web.lab.example")
    await tab.keyboard.press("Home")
    assert await focused(tab) == "fra01"
    await tab.keyboard.press("End")
    await tab.keyboard.press("Enter")
    await expect(tab.locator(".hops tr.chosen")).to_contain_text("web.lab.example")
    assert (await focused(tab)).startswith("fra01")


async def test_sorting_moves_rows_and_keeps_the_focus(made_shows: Shows) -> None:
    tab = await made_shows(fleet_of(40))
    before = await colos(tab)
    await tab.locator(".matrix tbody a").first.focus()
    await tab.keyboard.press("ArrowRight")
    at = await focused(tab)
    await tab.evaluate("location.hash += 'sort=name'")
    await expect(tab.get_by_role("columnheader", name="Colo")).to_have_attribute(
        "aria-sort", "ascending"
    )
    assert await colos(tab) == sorted(before) != before
    assert await focused(tab) == at


async def test_head_sorts_and_turns_the_order(made_shows: Shows) -> None:
    tab = await made_shows(fleet_of(40))
    head = tab.get_by_role("columnheader", name="Hops")
    await head.get_by_role("link").click()
    await expect(head).to_have_attribute("aria-sort", "descending")
    await head.get_by_role("link").click()
    await expect(head).to_have_attribute("aria-sort", "ascending")
    assert "sort=-hops" in tab.url


async def test_what_bad_rows_share_is_on_top(made_shows: Shows) -> None:
    tab = await made_shows(fleet_of(300))
    found = tab.get_by_role("region", name="What bad rows share").get_by_role("listitem").first
    await expect(found).to_contain_text(
        re.compile(r"\d+ of \d+ .* colos cross .*; \d+ of \d+ healthy")
    )
    await expect(lines(tab).last.locator("td").first).not_to_be_empty()
    assert len(await colos(tab)) == 300


@pytest.mark.parametrize(("made", "columns"), [(long_path(30), 30), (wide_hop(8), 4)])
async def test_extremes_are_shown(made_shows: Shows, made: Measured, columns: int) -> None:
    tab = await made_shows(made)
    await expect(tab.locator(".matrix thead th")).to_have_count(4 + columns)
    if columns == 4:
        await expect(lines(tab).first).to_contain_text("+7")
        await tab.goto(f"{tab.url}view=rows&colo=den01")
        await expect(tab.locator(".hops tbody").nth(1).locator("tr")).to_have_count(8)


async def test_broken_stream_says_so_and_is_resumed(
    signed_in: Page, watched_fleet: Fleet, guard: Guard
) -> None:
    guard.allowed.append("net::ERR_FAILED")
    told = events(fleet_of(12))
    asked: list[str | None] = []

    async def broken(route: Route) -> None:
        asked.append(last := route.request.headers.get("last-event-id"))
        if len(asked) == 2:
            await route.abort()
            return
        body = stream(told, after=int(last)) if last else stream(told[:5])
        await route.fulfill(body=body, content_type="text/event-stream")

    await signed_in.route(f"**/{MADE}/events", broken)
    await signed_in.route(
        f"**/{MADE}/graph?*",
        lambda route: route.fulfill(json={"result": {"fate": {"bad": [], "findings": []}}}),
    )
    await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{MADE}")
    await expect(signed_in.get_by_text("The coordinator does not answer.")).to_be_visible()
    await expect(signed_in.get_by_text("running: 4 of 12 rows ended")).to_be_visible()
    await expect(line(signed_in, "c004")).to_contain_text("running")
    await expect(signed_in.get_by_text("complete", exact=True)).to_be_visible()
    await expect(signed_in.get_by_text("The coordinator does not answer.")).to_have_count(0)
    assert asked == [None, "5", "5"]


async def test_measurement_that_is_not_there_is_told(
    signed_in: Page, watched_fleet: Fleet, guard: Guard
) -> None:
    guard.allowed.append("status of 404")
    await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{'f' * 32}")
    await expect(signed_in.get_by_role("alert")).to_contain_text("no measurement with this id")


async def test_text_of_the_network_is_never_markup(made_shows: Shows) -> None:
    made = fleet_of(1)
    nasty = "<img src=x onerror=alert(1)>"
    names = dict.fromkeys(made.known.asns, nasty)
    made = replace(made, known=Known(names, made.known.asns))
    told = events(made, messages=[Message(1, nasty, "/result/0/colos/0"), Message(1, nasty, None)])
    tab = await made_shows(made, "view=rows&colo=c000", told=told)
    await expect(tab.locator(".hops")).to_contain_text(nasty)
    await expect(tab.locator("main img")).to_have_count(0)


async def test_measurement_that_runs_can_be_cancelled(
    lab_shows: Shows, watched_fleet: Fleet
) -> None:
    tab = await lab_shows()  # The page is then loaded: the measurement lasts 5 s.
    body = {"targets": ["198.18.30.90"], "options": {"wait_time": 5, "max_ttl": 30}}
    begun = measured(watched_fleet, body, Prefer="respond-async")
    await tab.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{begun}")
    await tab.get_by_role("button", name="Cancel").click()
    await expect(tab.get_by_text("cancelled", exact=True)).to_be_visible()
    failed = tab.get_by_role("listitem").filter(has_text="den01, den02, fra01, sin01: ")
    await expect(failed).to_contain_text("the measurement was cancelled")


async def test_measurement_is_compared_with_the_one_before(
    lab_shows: Shows, watched_fleet: Fleet
) -> None:
    measured(watched_fleet, {"targets": ["far.lab.example"]})
    later = measured(watched_fleet, {"targets": ["far.lab.example"]})
    tab = await lab_shows()
    await tab.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{later}")
    await tab.get_by_role("button", name="Compare with the one before").click()
    await expect(tab).to_have_url(re.compile(rf"/compare/\w{{32}}/{later}"))
