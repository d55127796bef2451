"""The page in Debian's Chromium. Every tab is guarded: whatever the page does that it must not do
fails the test (a message on the console, an error, a violation of the content policy, a request to
another host)."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from colotrace_coordinator.web.files import STATIC
from fleet import Fleet
from fleet.fleet import default_agents
from lab import Lab
from needs import need
from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright, expect

WITHIN_MS = 15_000
"""For what takes a tenth of a second at most on a quiet machine."""
expect.set_options(timeout=WITHIN_MS)
ORIGIN = "http://page.test"
"""Where the tests of modules find the page's files; nothing listens there."""
_UNIT = Path(__file__).parent / "unit"
_CALM = Path(__file__).parent / "calm.py"
_SWITCHES = (
    "--no-sandbox",
    # One process for the page's tabs, and none that emulates a GPU: a third of the processor time.
    "--disable-site-isolation-trials",
    "--process-per-site",
    "--disable-gpu",
    "--disable-software-rasterizer",
)
_TYPES = {".js": "text/javascript", ".html": "text/html", ".css": "text/css"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has all these tests, and one event loop, so that Chromium starts once."""
    here = f"{Path(__file__).parent}/"
    for item in items:
        if str(item.path).startswith(here):  # all items pass here: `parents` would take long
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="chromium")
async def _chromium() -> AsyncIterator[Browser]:
    need(None if shutil.which("chromium") else "Chromium is not installed (Debian: chromium)")
    async with async_playwright() as playwright:
        # Root has no sandbox of its own to give, and the page is ours.
        browser = await playwright.chromium.launch(executable_path=_CALM, args=_SWITCHES)
        yield browser
        await browser.close()


@dataclass
class Guard:
    """What the tabs of a context did that they must not do. `allowed` are patterns of console
    messages that a test expects: Chromium itself writes one for each failed request."""

    origins: set[str]
    found: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    @contextmanager
    def watching(self, context: BrowserContext) -> Iterator[None]:
        """Watch all tabs of the context. Fails at the end if they did more than they may."""
        handlers: dict[str, Callable[[Any], None]] = {
            "request": lambda request: self._requested(request.url),
            "console": lambda message: self._said(f"{message.type}: {message.text}"),
            "weberror": lambda error: self._said(f"error: {error.error}"),
        }
        for event, handler in handlers.items():
            context.on(event, handler)  # type: ignore[call-overload]
        yield
        for event, handler in handlers.items():
            context.remove_listener(event, handler)
        assert self.found == []

    def _requested(self, url: str) -> None:
        parts = urlsplit(url)
        if (
            parts.scheme in ("http", "https")
            and f"{parts.scheme}://{parts.netloc}" not in self.origins
        ):
            self.found.append(f"a request to {url}")

    def _said(self, text: str) -> None:
        if not any(re.search(pattern, text) for pattern in self.allowed):
            self.found.append(text)


@asynccontextmanager
async def guarded(
    browser: Browser, *origins: str, **options: Any
) -> AsyncIterator[tuple[BrowserContext, Guard]]:
    """A context whose tabs may only use these origins. Fails at its end if they did more."""
    guard = Guard(set(origins))
    context = await _context(browser, **options)
    with guard.watching(context):
        try:
            yield context, guard
        finally:
            await context.close()


async def _context(browser: Browser, **options: Any) -> BrowserContext:
    context = await browser.new_context(**{"locale": "en-GB", "timezone_id": "UTC"} | options)
    context.set_default_timeout(WITHIN_MS)
    return context


@pytest.fixture(scope="session", name="watched_fleet")
def _watched_fleet(lab: Lab) -> Iterator[Fleet]:
    """A coordinator and an agent in each colo. Tests must not stop anything."""
    with Fleet(lab, agents=default_agents(lab)) as running:
        running.wait_attached()
        yield running


@pytest.fixture
def guard(watched_fleet: Fleet) -> Guard:
    """The guard of `tab` or of `signed_in`."""
    return Guard({watched_fleet.url})


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="visited")
async def _visited(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A browser that keeps the page's files, as one of a user does."""
    context = await _context(chromium)
    await context.new_page()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session", name="tab")
async def _tab(visited: BrowserContext, guard: Guard) -> AsyncIterator[Page]:
    """A tab, not yet at the page."""
    with guard.watching(visited):
        yield await visited.new_page()
        await _close(visited)


@pytest_asyncio.fixture(loop_scope="session", name="signed_in")
async def _signed_in(
    visited: BrowserContext, guard: Guard, watched_fleet: Fleet
) -> AsyncIterator[Page]:
    """A tab at the page, signed in. It is that of the tests before: to start one takes long."""
    with guard.watching(visited):
        tab = visited.pages[0]
        await tab.goto(watched_fleet.url)
        other = "token => (sessionStorage.getItem('colotrace.token') ?? token) !== token"
        if await tab.evaluate(other, watched_fleet.token):  # a test before was somebody else
            await tab.evaluate("sessionStorage.clear()")
            await tab.reload()
        views, field = tab.get_by_role("navigation", name="Views"), tab.get_by_label("API token")
        await views.or_(field).wait_for()
        if await field.count():
            await sign_in(tab, watched_fleet)
        yield tab
        await tab.unroute_all(behavior="ignoreErrors")
        await tab.goto("about:blank")
        await _close(visited)


async def _close(context: BrowserContext) -> None:
    """Close all tabs but the first."""
    for each in context.pages[1:]:
        await each.close()


async def sign_in(tab: Page, fleet: Fleet, path: str = "/") -> None:
    """Open the page, and enter the fleet's token as a person does."""
    await tab.goto(fleet.url + path)
    await tab.get_by_label("API token").fill(fleet.token)
    await tab.get_by_role("button", name="Sign in").click()
    await tab.get_by_role("navigation", name="Views").wait_for()


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="module_tab")
async def _module_tab(chromium: Browser) -> AsyncIterator[Page]:
    """A tab for tests of modules, which come from the source: no coordinator is needed."""
    async with guarded(chromium, ORIGIN) as (context, _):
        await context.route(f"{ORIGIN}/**", _from_source)
        tab = await context.new_page()
        await tab.goto(f"{ORIGIN}/unit/empty.html")
        yield tab


async def _from_source(route: Route) -> None:
    path = urlsplit(route.request.url).path
    found = _UNIT / path.removeprefix("/unit/") if path.startswith("/unit/") else STATIC / path[1:]
    if path == "/unit/empty.html":
        body = "<!DOCTYPE html><title>Tests</title>"
        await route.fulfill(body=body, content_type="text/html")
    elif found.is_file():
        await route.fulfill(body=found.read_text(), content_type=_TYPES[found.suffix])
    else:
        await route.fulfill(status=404, body="")
