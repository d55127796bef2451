"""Debian's Chromium, with new tabs that have nothing cached, and the tasks of a tab."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page, sync_playwright

from bench import ROOT
from bench.figures import BenchError

SIZE = {"width": 1280, "height": 900}
WITHIN_MS = 60_000
MISSING = "chromium is not installed: apt-get install chromium"
_CALM = ROOT / "tests" / "browser" / "calm.py"
_CATEGORIES = ["toplevel"]
_TASK, _THREAD = "ThreadControllerImpl::RunTask", "CrRendererMain"


@dataclass(slots=True)
class Tasks:
    """Tasks of a tab's main thread while it was watched, in milliseconds."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    @property
    def longest_ms(self) -> float:
        """The longest one by the clock: with other programs' share, if the machine is busy."""
        return max(self.wall_ms, default=0.0)

    @property
    def longest_cpu_ms(self) -> float:
        """The longest one by its CPU time."""
        return max(self.cpu_ms, default=0.0)


class Chromium:
    """A running Chromium."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @contextmanager
    def tab(self, *scripts: str) -> Iterator[Page]:
        """A tab of a context of its own: without cached files. `scripts` run before the page's."""
        context = self._browser.new_context(viewport=SIZE, locale="en-GB", timezone_id="UTC")
        try:
            context.set_default_timeout(WITHIN_MS)
            for script in scripts:
                context.add_init_script(script)
            yield context.new_page()
        finally:
            context.close()

    @contextmanager
    def tasks(self, tab: Page) -> Iterator[Tasks]:
        """The tasks of a tab, from Chromium's own record of them; filled at the end.

        The Long Tasks API has the same, but nothing below 50 ms.
        """
        found = Tasks()
        self._browser.start_tracing(page=tab, categories=_CATEGORIES)
        try:
            yield found
        finally:
            events = json.loads(self._browser.stop_tracing())["traceEvents"]
        threads = {
            (each["pid"], each["tid"])
            for each in events
            if each["name"] == "thread_name" and each["args"]["name"] == _THREAD
        }
        for each in events:
            if each["name"] == _TASK and (each["pid"], each["tid"]) in threads:
                found.wall_ms.append(each.get("dur", 0) / 1e3)
                found.cpu_ms.append(each.get("tdur", 0) / 1e3)


def is_installed() -> bool:
    """Whether there is a Chromium."""
    return shutil.which("chromium") is not None


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Start Chromium.

    Raises:
        BenchError: it is not installed.
    """
    if not is_installed():
        raise BenchError(MISSING)
    with sync_playwright() as playwright:
        # Root has no sandbox of its own to give, and the page is ours.
        browser = playwright.chromium.launch(executable_path=_CALM, args=["--no-sandbox"])
        try:
            yield Chromium(browser)
        finally:
            browser.close()
