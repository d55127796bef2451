"""Links that somebody has changed: each shows the view all the same, or says what is wrong."""

from __future__ import annotations

import httpx
import pytest
from fleet import Fleet
from fleet.fleet import ACCOUNT, NO_TLS
from playwright.async_api import Page, expect


@pytest.fixture(scope="session", name="pair")
def _pair(watched_fleet: Fleet) -> tuple[str, str]:
    """The ids of two measurements."""
    body = {"targets": ["web.lab.example"], "options": {"max_ttl": 12}}
    with httpx.Client(headers=watched_fleet.headers(), verify=NO_TLS, timeout=30) as client:
        first, second = (client.post(watched_fleet.path(), json=body) for _ in range(2))
    return first.headers["measurement-id"], second.headers["measurement-id"]


@pytest.mark.parametrize("name", ["constructor", "__proto__"])
async def test_names_that_every_object_has_choose_nothing(
    signed_in: Page, watched_fleet: Fleet, pair: tuple[str, str], name: str
) -> None:
    first, second = pair

    async def at(path: str) -> None:
        await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/{path}")

    await at(f"m/{first}?view={name}&shade={name}&align={name}&sort={name}&colo={name}&hop={name}")
    await expect(signed_in.get_by_role("link", name="sin01", exact=True)).to_be_visible()
    await at(f"m/{first}?view=rows&colo=sin01&plot={name}")
    await expect(signed_in.get_by_label("Plots show")).to_have_value("rtt")
    await at(f"m/{first}?view=graph&by={name}&node={name}&finding={name}&open={name}")
    await expect(signed_in.get_by_label("Fold by")).to_have_value("asn")
    await at(f"compare/{first}/{second}?view=graph&by={name}&cluster={name}")
    await expect(signed_in.get_by_label("Fold by")).to_have_value("asn")
    await expect(signed_in.get_by_role("link", name="Show all rows")).to_have_count(0)


async def test_long_words_do_not_widen_the_page(
    signed_in: Page, watched_fleet: Fleet, pair: tuple[str, str]
) -> None:
    size, word = signed_in.viewport_size, "9" * 250
    await signed_in.set_viewport_size({"width": 360, "height": 740})
    for path, words in (
        (f"trace?from={word}", "Not known"),
        (f"m/{pair[0]}?view=rows&colo={word}", "is called"),
    ):
        await signed_in.goto(f"{watched_fleet.url}/#/{ACCOUNT}/{path}")
        await expect(signed_in.get_by_text(words).first).to_be_visible()
        assert await signed_in.evaluate("document.documentElement.scrollWidth") == 360, path
    if size:
        await signed_in.set_viewport_size(size)
