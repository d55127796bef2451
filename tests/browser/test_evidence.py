"""What is passed on: links, copies and files. Evidence opens from disk, without the coordinator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from browser.conftest import WITHIN_MS, guarded
from colotrace_formats.formats import FORMATS
from eventually import until
from fleet import Fleet
from fleet.fleet import ACCOUNT, NO_TLS
from playwright.async_api import Browser, Locator, Page, expect

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WEB, DARK = "web.lab.example", "dark.lab.example"


@pytest.fixture(scope="session", name="measured")
def _measured(watched_fleet: Fleet) -> str:
    """A measurement's id."""
    body = {"targets": [WEB, DARK], "options": {"family": 4, "packet_type": "udp"}}
    answer = httpx.post(
        watched_fleet.path(), json=body, headers=watched_fleet.headers(), verify=NO_TLS, timeout=30
    )
    return answer.headers["measurement-id"]


@pytest_asyncio.fixture(loop_scope="session", name="shown")
async def _shown(signed_in: Page, watched_fleet: Fleet, measured: str) -> Page:
    await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/m/{measured}")
    await expect(signed_in.get_by_role("heading", name=WEB)).to_be_visible()
    return signed_in


def menu(tab: Page) -> Locator:
    """What opens the menu "Save"."""
    return tab.locator("summary", has_text="Save")


async def saved(tab: Page, name: str) -> tuple[str, str]:
    """Save from the menu: the suggested name of the file, and its content."""
    await menu(tab).click()
    async with tab.expect_download() as download:
        await tab.get_by_role("button", name=name).click()
    file = await download.value
    return file.suggested_filename, (await file.path()).read_text()


@pytest_asyncio.fixture(loop_scope="session", name="paper")
async def _paper(chromium: Browser, shown: Page, tmp_path: Path) -> AsyncIterator[Page]:
    """The saved evidence, opened from disk where there is no JavaScript and no network."""
    name, content = await saved(shown, "HTML page, as evidence")
    assert name.startswith(f"{WEB}-")
    opened = tmp_path / name
    opened.write_text(content)
    async with guarded(chromium, java_script_enabled=False, offline=True) as (context, _):
        tab = await context.new_page()
        requested: list[str] = []
        tab.on("request", lambda request: requested.append(request.url))
        await tab.goto(opened.as_uri())
        yield tab
        assert requested == [opened.as_uri()]


async def test_evidence_opens_from_disk_without_script_or_network(
    paper: Page, measured: str
) -> None:
    await expect(paper.get_by_role("heading", name="Traceroute from 4 colos")).to_be_visible()
    await expect(paper.get_by_role("cell", name=measured)).to_be_visible()
    tables = paper.locator("h2 ~ .wide > table")
    await expect(tables).to_have_count(2)
    heads = await tables.first.get_by_role("columnheader").all_inner_texts()
    assert heads[:5] == ["Colo", "City", "RTT", "Loss", "Hops"]
    assert heads[-3:] == ["-2", "-1", "target"]
    singapore = tables.first.get_by_role("row").filter(has_text="sin01")
    rtt = await singapore.get_by_role("cell").nth(1).inner_text()
    assert float(rtt) > 0
    dark = tables.last.get_by_role("row").filter(has_text="sin01")
    await expect(dark).to_contain_text("not reached")

    path = paper.locator("details").filter(has_text="sin01: the path").first
    await expect(path.get_by_role("table")).to_be_hidden()
    await path.locator("summary").click()
    await expect(path.get_by_role("row").filter(has_text="sin2.lab.example")).to_be_visible()
    strip = path.get_by_role("row").filter(has_text="sin2.lab.example").locator("svg path")
    assert str(await strip.get_attribute("d")).count("M") == 3
    box = await strip.bounding_box()
    assert box
    assert box["height"] > 5

    data = await paper.locator("script[type='application/json']").first.text_content()
    assert [each["colo"]["name"] for each in json.loads(str(data))["colos"]] == [
        "den01",
        "den02",
        "fra01",
        "sin01",
    ]


async def test_evidence_fits_narrow_screens_and_the_dark(paper: Page) -> None:
    await paper.set_viewport_size({"width": 360, "height": 740})
    papers = []
    for scheme in SCHEMES:
        await paper.emulate_media(color_scheme=scheme)
        assert await paper.locator("html").evaluate("each => each.scrollWidth") == 360
        papers.append(
            await paper.locator("body").evaluate("each => getComputedStyle(each).backgroundColor")
        )
    assert papers[0] != papers[1]


async def test_link_and_text_are_copied(shown: Page, measured: str) -> None:
    await shown.context.grant_permissions(["clipboard-read", "clipboard-write"])

    async def copied(name: str) -> str:
        await shown.evaluate("navigator.clipboard.writeText('')")
        await shown.locator("summary", has_text="Share").click()
        await shown.get_by_role("button", name=name).click()
        found = ""

        async def arrived() -> bool:
            nonlocal found
            found = await shown.evaluate("navigator.clipboard.readText()")
            return bool(found)

        await until(arrived, within_s=WITHIN_MS / 1_000)
        return found

    link = await copied("Copy the link to this view")
    assert link == shown.url
    assert urlsplit(link).fragment == f"/{ACCOUNT}/m/{measured}"
    await expect(shown.get_by_role("status").last).to_have_text("Copied")
    await expect(shown.locator(".menus").get_by_text("Copied")).to_be_visible()
    assert f"## Traceroute to `{WEB}`" in await copied("Copy as Markdown")
    assert f"traceroute to {WEB} (198.18.30.80)" in await copied("Copy as text")


async def test_measurement_is_saved_in_every_format(shown: Page) -> None:
    await menu(shown).click()
    names = await shown.locator("details[open] li").all_inner_texts()
    await shown.keyboard.press("Escape")
    await expect(menu(shown)).to_be_focused()
    extensions = []
    for name in names:
        file, content = await saved(shown, name)
        extensions.append(file.partition(".lab.example-")[2].partition(".")[2])
        assert "sin01" in content, name
        for line in content.splitlines() if file.endswith(".jsonl") else ():
            json.loads(line)
    assert sorted(extensions) == sorted(each.extension for each in FORMATS.values())
