"""The page in Chromium: its size, how soon it can be used, and whether it stays responsive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from browser.made_paths import fleet_of
from colotrace_coordinator.web.files import Page as Files
from fleet import ACCOUNT
from load.recorded import measurement

from bench import filling
from bench.browser import MISSING, Chromium, chromium, is_installed
from bench.figures import Figure, Run, alternate, figures_of
from bench.loopback import Served, served
from bench.rows.subject import Subject
from bench.session import Session

_KB = 1_000
_FORM_COLOS, _COLOS = 250, 300
_SECONDS = 10.0
_AFTERWARDS_MS = 1_000
_PAINT, _USABLE, _LONGEST, _LONGEST_CPU = (
    "first paint", "form usable", "longest task", "longest task, CPU",
)  # fmt: skip
_FILES = "files so far, by gzip"
_SORT, _SCROLL = "slowest sort", "slowest scroll by a screen"
_PLACED, _DRAWN = "placed in the Worker", "from the click until it is drawn"
_AT_MOST_MS = {
    _PAINT: 300.0, _USABLE: 500.0, _LONGEST: 50.0, _SORT: 100.0, _SCROLL: 100.0, _PLACED: 600.0,
}  # fmt: skip

_SIGNED_IN = "sessionStorage.setItem('colotrace.token', '{token}')"
_WHEN_USABLE = """
window.usable = new Promise((done) => {
  const look = () => {
    const listed = document.querySelector('.colos input');
    if (listed && document.activeElement?.id === 'targets') done(performance.now());
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
});
"""
_LOADED = """
() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .filter((each) => !each.name.includes('/client/'))
  .reduce((sum, each) => sum + each.encodedBodySize, 0)
"""
_PAINTED = """
() => new Promise((done) => new PerformanceObserver((list) => {
  for (const each of list.getEntriesByName('first-contentful-paint')) done(each.startTime);
}).observe({ type: 'paint', buffered: true }))
"""
_PLACING = """
window.placed = [];
window.Worker = class extends Worker {
  constructor(...given) {
    super(...given);
    this.addEventListener('message', ({ data }) => window.placed.push(data.ms));
  }
};
"""
# After the frame in which the change is drawn.
_SORTED = """
async (name) => {
  const heads = [...document.querySelectorAll('.matrix thead a')];
  const head = heads.find((each) => each.textContent.startsWith(name));
  const kind = () => head.closest('th').getAttribute('aria-sort');
  const before = kind();
  const began = performance.now();
  head.click();
  do await new Promise(requestAnimationFrame); while (kind() === before);
  await new Promise((done) => setTimeout(done));
  return performance.now() - began;
}
"""
# Rows out of sight are drawn once they come into view: in the frame after the one that scrolls.
_SCROLLED = """
async () => {
  const box = document.querySelector('.matrix');
  let slowest = 0;
  for (box.scrollTop = 0; box.scrollTop + box.clientHeight < box.scrollHeight - 1; ) {
    const began = performance.now();
    box.scrollTop += box.clientHeight;
    for (const _ of [1, 2]) await new Promise(requestAnimationFrame);
    await new Promise((done) => setTimeout(done));
    slowest = Math.max(slowest, performance.now() - began);
  }
  return slowest;
}
"""


_DRAWN_WITHIN = """
async () => {
  const tabs = [...document.querySelectorAll('.tabs a')];
  const link = tabs.find((each) => each.textContent === 'Graph');
  const began = performance.now();
  link.click();
  do await new Promise(requestAnimationFrame); while (!document.querySelector('[data-node]'));
  await new Promise((done) => setTimeout(done));
  return performance.now() - began;
}
"""


def _measure(session: Session) -> Iterator[Figure]:
    files = Files()
    yield Figure("all files", "page", "compressed by gzip", "KB", (files.packed_bytes / _KB,),
                 at_most=60.0)  # fmt: skip
    if not is_installed():
        yield Figure("the rest", "page", "", "", (), note=f"not available: {MISSING}")
        return
    form_colos, colos = (3, 5) if session.quick else (_FORM_COLOS, _COLOS)
    seconds = 0.5 if session.quick else _SECONDS
    with ExitStack() as stack:
        session.say(f"page: a coordinator with {form_colos} colos")
        fleet = stack.enter_context(served(form_colos, installed=not session.quick))
        matrix = fleet.keep(measurement(colos=colos, targets=1, seed=1))
        graph = fleet.keep(fleet_of(colos))
        parts = filling.pieces(fleet.get(f"/{matrix}"), seconds=seconds)
        events = stack.enter_context(filling.server(parts))
        seen = _Seen(stack.enter_context(chromium()), fleet)
        works = {
            f"opened with nothing cached, {form_colos} colos": (seen.form, 11),
            f"matrix of {colos} colos, which fills in {seconds:g} s": (
                partial(seen.matrix, matrix, events, seconds), 3,
            ),
            f"graph of {colos} colos, folded by AS": (partial(seen.graph, graph), 7),
        }  # fmt: skip
        for work, (measure, often) in works.items():
            session.say(f"page: {work}")
            runs = session.runs(often)
            samples = alternate({"page": measure}, runs=runs, warm=not session.quick)
            for figure in figures_of(work, samples, {_FILES: "KB"}, {}):
                bound = _AT_MOST_MS.get(figure.quantity)
                yield figure if bound is None else figure.bounded(at_most=bound)


class _Seen:
    """What a person sees in a new tab of the browser, and when."""

    def __init__(self, browser: Chromium, fleet: Served) -> None:
        self._browser = browser
        self._fleet = fleet
        self._signed_in = _SIGNED_IN.format(token=fleet.token)

    def _url(self, view: str) -> str:
        return f"{self._fleet.url}/#/{ACCOUNT}/{view}"

    def form(self) -> Run:
        """The form, from the navigation's start."""
        with self._browser.tab(self._signed_in, _WHEN_USABLE) as tab:
            tab.goto(self._fleet.url)
            usable = tab.evaluate("window.usable")
            painted = tab.evaluate(_PAINTED)
            loaded = tab.evaluate(_LOADED)
        return Run({_PAINT: painted, _USABLE: usable, _FILES: loaded / _KB})

    def matrix(self, name: str, events: str, seconds: float) -> Run:
        """The matrix while it fills, and then sorted and scrolled."""
        with self._browser.tab(self._signed_in) as tab:
            tab.route(re.compile("/events$"), lambda route: route.continue_(url=events))
            tab.goto(self._url("fleet"))
            tab.locator("main h1").wait_for()
            with self._browser.tasks(tab) as filling_tasks:
                tab.evaluate("(link) => { location.hash = link }", f"#/{ACCOUNT}/m/{name}")
                # To ask whether it is complete would be a task of the tab, too.
                tab.wait_for_timeout(seconds * 1e3 + _AFTERWARDS_MS)
            tab.get_by_text("complete", exact=True).wait_for()
            with self._browser.tasks(tab) as sorting_tasks:
                heads = ("Loss", "Hops", "Colo", "RTT")
                sorts = [tab.evaluate(_SORTED, head) for head in heads]
                scroll = tab.evaluate(_SCROLLED)
            loaded = tab.evaluate(_LOADED)
        return Run(
            {
                _LONGEST: filling_tasks.longest_ms,
                _LONGEST_CPU: filling_tasks.longest_cpu_ms,
                _SORT: max(sorts),
                _SCROLL: scroll,
                "longest task of sort and scroll, CPU": sorting_tasks.longest_cpu_ms,
                _FILES: loaded / _KB,
            }
        )

    def graph(self, name: str) -> Run:
        """The graph, from the click on its tab."""
        with self._browser.tab(self._signed_in, _PLACING) as tab:
            tab.goto(self._url(f"m/{name}"))
            link = tab.get_by_role("link", name="Graph", exact=True)
            link.wait_for()
            with self._browser.tasks(tab) as tasks:
                drawn = tab.evaluate(_DRAWN_WITHIN)
            (placed,) = tab.evaluate("window.placed")
        return Run(
            {
                _PLACED: placed,
                _DRAWN: drawn,
                _LONGEST: tasks.longest_ms,
                _LONGEST_CPU: tasks.longest_cpu_ms,
            }
        )


SUBJECT = Subject(
    "page",
    "The page, in Debian's Chromium",
    "A coordinator on loopback; each run has a new tab, which has cached nothing. First paint is "
    "that of the Paint Timing API (the first content). The form is usable when its field has the "
    "focus and the colos are listed. Rows of the matrix have 15 hops; it is fed ten times a second "
    "with equal pieces of events, as the coordinator writes them. A task is one of the tab's main "
    "thread, with layout and paint, as Chromium itself records it. By the clock it includes the "
    "time that other programs take of its core; by CPU it does not. Sorting and scrolling are "
    "timed until the change is drawn. The bounds are for a machine that does nothing else.",
    _measure,
)
