"""Signing in: each reason why a token is not enough is told, and the token stays in its tab."""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser.conftest import Guard, sign_in
from fleet import Fleet
from fleet.fleet import ACCOUNT
from playwright.async_api import Page, Request, Route, expect

_COORDINATOR = Path(sys.executable).parent / "colotrace-coordinator"
REFUSED = r"Failed to load resource: .* 40[013]"
"""What Chromium writes for an answer of these statuses."""
UNREACHABLE = r"Failed to load resource: net::ERR_"
API = re.compile(r"/client/v4/")


@dataclass(frozen=True)
class Tokens:
    """Tokens beside the fleet's own."""

    expired: str
    reader: str
    lister: str
    stranger: str


@pytest.fixture(scope="session", name="tokens")
def _tokens(watched_fleet: Fleet) -> Tokens:
    def made(*flags: str, account: str = ACCOUNT) -> str:
        data = ("--data", watched_fleet.directory)
        argv = [_COORDINATOR, "token", "create", "--account", account, *data, *flags]
        with tempfile.TemporaryFile("w+") as out:
            process = watched_fleet.lab.fork(None, argv, stdout=out.fileno(), stderr=out.fileno())
            assert process.wait(30) == 0
            out.seek(0)
            return out.read().strip()

    return Tokens(
        expired=made("--days", "0"),
        reader=made("--permission", "traceroute:read"),
        lister=made("--permission", "diagnostics:colos"),
        stranger=made(account="other"),
    )


async def enter(tab: Page, token: str) -> None:
    """Enter a token as by hand: the field has the focus."""
    field = tab.get_by_label("API token")
    await expect(field).to_be_focused()
    await field.fill(token)
    await tab.keyboard.press("Enter")


async def test_tokens_that_do_not_work_are_told_apart(
    tab: Page, guard: Guard, watched_fleet: Fleet, tokens: Tokens
) -> None:
    guard.allowed.append(REFUSED)
    await tab.goto(watched_fleet.url)
    unknown = "The coordinator does not know this token. Check that it was copied whole."
    for token, told in (
        ("", "Enter a token."),
        ("x" * 40, unknown),
        (tokens.expired, "This token has expired. Ask an operator for a new one."),
        ("copied with the dots…", unknown),
        ("two words", unknown),
    ):
        await enter(tab, token)
        await expect(tab.get_by_role("alert")).to_have_text(told)
        assert await tab.evaluate("sessionStorage.length") == 0
    field = tab.get_by_label("API token")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description(re.compile("does not know this token"))
    await enter(tab, watched_fleet.token)
    await tab.get_by_role("navigation", name="Views").wait_for()


async def test_token_that_expires_meanwhile_ends_the_session(
    signed_in: Page, guard: Guard, tokens: Tokens
) -> None:
    guard.allowed.append(REFUSED)

    async def late(route: Route) -> None:
        headers = route.request.headers | {"authorization": f"Bearer {tokens.expired}"}
        await route.continue_(headers=headers)

    await signed_in.route(API, late)
    await signed_in.get_by_role("link", name="Fleet").click()
    await expect(signed_in.get_by_role("alert")).to_contain_text("This token has expired.")
    assert await signed_in.evaluate("sessionStorage.length") == 0
    await signed_in.unroute(API)
    assert signed_in.url.endswith("/fleet")
    await sign_in_here(signed_in, tokens.reader)
    await expect(signed_in.get_by_role("heading", name="Fleet")).to_be_visible()


async def sign_in_here(tab: Page, token: str) -> None:
    """Sign in at the view that the tab is at."""
    await tab.get_by_label("API token").fill(token)
    await tab.get_by_role("button", name="Sign in").click()
    await tab.get_by_role("navigation", name="Views").wait_for()


async def test_link_to_another_account_says_that_the_token_is_not_for_it(
    tab: Page, watched_fleet: Fleet, tokens: Tokens
) -> None:
    await tab.goto(f"{watched_fleet.url}/#/{ACCOUNT}/history")
    await sign_in_here(tab, tokens.stranger)
    told = tab.get_by_role("alert")
    await expect(told).to_contain_text("This token has no permission in the account of this link.")
    await told.get_by_role("button", name="Sign out").click()
    await sign_in_here(tab, watched_fleet.token)
    await expect(tab.get_by_role("heading", name="History")).to_be_visible()


async def test_token_that_may_only_read_traces_nothing(
    tab: Page, watched_fleet: Fleet, tokens: Tokens
) -> None:
    await tab.goto(watched_fleet.url)
    await sign_in_here(tab, tokens.reader)
    await expect(tab.get_by_text("This token may not make measurements")).to_be_visible()
    await tab.get_by_label("Targets").fill("web.lab.example")
    await expect(tab.get_by_role("button", name="Trace", exact=True)).to_be_disabled()


async def test_token_that_may_only_list_colos_is_told_so(
    tab: Page, guard: Guard, watched_fleet: Fleet, tokens: Tokens
) -> None:
    guard.allowed.append(REFUSED)
    await tab.goto(f"{watched_fleet.url}/#/{ACCOUNT}/history")
    await sign_in_here(tab, tokens.lister)
    told = "This token has no permission for that in this account."
    await expect(tab.get_by_role("alert")).to_contain_text(told)


async def test_token_is_kept_in_its_tab_and_is_in_no_url(tab: Page, watched_fleet: Fleet) -> None:
    asked: list[Request] = []
    tab.on("request", lambda request: asked.append(request))
    await sign_in(tab, watched_fleet)
    await tab.get_by_role("link", name="Fleet").click()
    await expect(tab.get_by_role("rowheader", name="sin01").first).to_be_visible()
    await tab.reload()
    await expect(tab.get_by_role("rowheader", name="sin01").first).to_be_visible()
    token = watched_fleet.token
    assert token in await tab.evaluate("Object.values({...sessionStorage})")
    assert token not in await tab.evaluate("JSON.stringify({...localStorage})")
    assert await tab.context.cookies() == []
    assert [each.url for each in asked if token in each.url] == []
    files = [each for each in asked if not API.search(each.url)]
    assert [each.url for each in files if await told(each, token)] == []
    assert token not in tab.url
    assert token not in await tab.content()

    other = await tab.context.new_page()
    await other.goto(tab.url)
    await expect(other.get_by_label("API token")).to_be_visible()

    await tab.get_by_role("button", name="Sign out").click()
    assert await tab.evaluate("sessionStorage.length") == 0
    await tab.reload()
    await expect(tab.get_by_label("API token")).to_have_value("")


async def told(request: Request, token: str) -> bool:
    """Whether a request's headers have the token."""
    return any(token in value for value in (await request.all_headers()).values())


async def test_coordinator_that_is_gone_is_no_wrong_token(
    tab: Page, guard: Guard, watched_fleet: Fleet
) -> None:
    guard.allowed.append(UNREACHABLE)
    gone = "The coordinator does not answer. Check that it runs and that this host reaches it."

    async def abort(route: Route) -> None:
        await route.abort("connectionrefused")

    await tab.goto(watched_fleet.url)
    await tab.route(API, abort)
    await enter(tab, watched_fleet.token)
    await expect(tab.get_by_role("alert")).to_have_text(gone)
    await tab.unroute(API)
    await tab.get_by_role("button", name="Sign in").click()
    await tab.get_by_role("navigation", name="Views").wait_for()

    await tab.route(API, abort)
    await tab.reload()
    await expect(tab.get_by_role("alert")).to_contain_text(gone)
    await tab.unroute(API)
    await tab.get_by_role("button", name="Try again").click()
    await expect(tab.get_by_label("Targets")).to_be_focused()
