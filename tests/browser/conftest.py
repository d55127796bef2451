"""The page in Debian's Chromium. Every tab is guarded: whatever the page does that it must not do
fails the test (a message on the console, an error, a violation of the content policy, a request to
another host)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from colotrace_coordinator.web.files import STATIC
from fleet import Fleet
from fleet.fleet import default_agents
from lab import Lab
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

ORIGIN = "http://page.test"
"""Where the tests of modules find the page's files; nothing listens there."""
_UNIT = Path(__file__).parent / "unit"
_TYPES = {".js": "text/javascript", ".html": "text/html", ".css": "text/css"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has all these tests, so that Chromium starts once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session", name="chromium")
def _chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium (make setup installs Debian's)")
    with sync_playwright() as playwright:
        # Root has no sandbox of its own to give, and the page is ours.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Guard:
    """What the tabs of a context did that they must not do. `allowed` are patterns of console
    messages that a test expects: Chromium itself writes one for each failed request."""

    origins: set[str]
    found: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        context.on("request", lambda request: self._requested(request.url))
        context.on("console", lambda message: self._said(f"{message.type}: {message.text}"))
        context.on("weberror", lambda error: self._said(f"error: {error.error}"))

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


@contextmanager
def guarded(
    browser: Browser, *origins: str, **options: object
) -> Iterator[tuple[BrowserContext, Guard]]:
    """A context whose tabs may only use these origins. Fails at its end if they did more."""
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    guard = Guard(set(origins))
    guard.watch(context)
    try:
        yield context, guard
    finally:
        context.close()
    assert guard.found == []


@pytest.fixture(scope="session", name="watched_fleet")
def _watched_fleet(lab: Lab) -> Iterator[Fleet]:
    """A coordinator and an agent in each colo. Tests must not stop anything."""
    with Fleet(lab, agents=default_agents(lab)) as running:
        running.wait_attached()
        yield running


@pytest.fixture(name="guard_and_tab")
def _guard_and_tab(chromium: Browser, watched_fleet: Fleet) -> Iterator[tuple[Guard, Page]]:
    with guarded(chromium, watched_fleet.url, locale="en-GB", timezone_id="UTC") as (
        context,
        guard,
    ):
        yield guard, context.new_page()


@pytest.fixture
def tab(guard_and_tab: tuple[Guard, Page]) -> Page:
    """A tab, not yet at the page."""
    return guard_and_tab[1]


@pytest.fixture
def guard(guard_and_tab: tuple[Guard, Page]) -> Guard:
    """The guard of `tab`."""
    return guard_and_tab[0]


@pytest.fixture
def signed_in(tab: Page, watched_fleet: Fleet) -> Page:
    """A tab at the page, signed in."""
    sign_in(tab, watched_fleet)
    return tab


def sign_in(tab: Page, fleet: Fleet, path: str = "/") -> None:
    """Open the page, and enter the fleet's token as a person does."""
    tab.goto(fleet.url + path)
    tab.get_by_label("API token").fill(fleet.token)
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_role("navigation", name="Views").wait_for()


@pytest.fixture(scope="session", name="module_tab")
def _module_tab(chromium: Browser) -> Iterator[Page]:
    """A tab for tests of modules, which come from the source: no coordinator is needed."""
    with guarded(chromium, ORIGIN, locale="en-GB", timezone_id="UTC") as (context, _):
        context.route(f"{ORIGIN}/**", _from_source)
        tab = context.new_page()
        tab.goto(f"{ORIGIN}/unit/empty.html")
        yield tab


def _from_source(route: Route) -> None:
    path = urlsplit(route.request.url).path
    found = _UNIT / path.removeprefix("/unit/") if path.startswith("/unit/") else STATIC / path[1:]
    if path == "/unit/empty.html":
        route.fulfill(body="<!DOCTYPE html><title>Tests</title>", content_type="text/html")
    elif found.is_file():
        route.fulfill(body=found.read_text(), content_type=_TYPES[found.suffix])
    else:
        route.fulfill(status=404, body="")
