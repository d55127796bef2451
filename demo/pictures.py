"""`make pictures`: the pictures of the documentation, from the running page.

It builds the demo's network, with long lines in it, starts a coordinator and agents in twelve
colos, and traces. Then Denver's paths change, and a router in Singapore begins to lose packets.
What the page shows of all that is written to `docs/pictures`. Times and ids differ from run to run.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from fleet import ACCOUNT, AgentSpec, Fleet  # noqa: E402 - found through the path above
from lab import FAMILIES, Family, Lab, access  # noqa: E402
from lab.slow import slow  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
_CHROMIUM = ROOT / "tests" / "browser" / "calm.py"
_WEB, _FAR, _DARK = "web.lab.example", "far.lab.example", "dark.lab.example"
_MOST_BYTES = 120_000
_WIDE, _TALL, _NARROW = (1280, 900), (1280, 1400), (360, 780)
_LOSSLESS = 100

_COLOS = {
    "den01": (
        ("den01", "Denver, CO, US", "39.74,-104.99"),
        ("slc01", "Salt Lake City, UT, US", "40.76,-111.89"),
        ("sea01", "Seattle, WA, US", "47.61,-122.33"),
    ),
    "den02": (
        ("den02", "Denver, CO, US", "39.74,-104.99"),
        ("dfw01", "Dallas, TX, US", "32.78,-96.80"),
        ("gru01", "São Paulo, BR", "-23.55,-46.63"),
    ),
    "sin01": (
        ("sin01", "Singapore, SG", "1.35,103.82"),
        ("hkg01", "Hong Kong, HK", "22.32,114.17"),
        ("syd01", "Sydney, AU", "-33.87,151.21"),
    ),
    "fra01": (
        ("fra01", "Frankfurt, DE", "50.11,8.68"),
        ("lhr01", "London, GB", "51.51,-0.13"),
        ("jnb01", "Johannesburg, ZA", "-26.20,28.05"),
    ),
}
"""By the host of the lab from which they trace."""
_LINES = (
    ("sin2", "sin3", 50.0),
    ("c2", "c3", 20.0),
    ("c1", "split", 6.0),
    ("mute", "hub", 3.0),
    ("edge", "web", 2.0),
)
"""Milliseconds each way."""
_LIMITED = (
    "chain out { type filter hook output priority 0; "
    "icmpv6 type time-exceeded limit rate over 5/second burst 3 packets drop; "
    "icmp type time-exceeded limit rate over 5/second burst 3 packets drop; }"
)
_LOSSY = "chain through { type filter hook forward priority 0; numgen inc mod 6 0 drop; }"


@dataclass(frozen=True, slots=True)
class Picture:
    """A view, and what is there once it is complete."""

    name: str
    view: str
    complete: str
    size: tuple[int, int] = _WIDE
    drawn: bool = False
    """Whether it is the drawing that the page saves, instead of what the window shows."""


def main() -> int:
    """Make all pictures; returns the exit status."""
    access.enter_if_needed()
    access.require()
    with ExitStack() as stack:
        _say("building the network")
        lab = stack.enter_context(Lab())
        for left, right, delay_ms in _LINES:
            stack.enter_context(slow(lab, left, right, delay_ms=delay_ms))
        fleet = stack.enter_context(Fleet(lab, agents=_agents()))
        fleet.wait_attached(within_s=120)
        ids = _measure(lab, fleet)
        PICTURES.mkdir(exist_ok=True)
        tab = stack.enter_context(_tab(fleet))
        for picture in _pictures(ids):
            _show(tab, fleet, picture)
            _say(_draw(tab, picture) if picture.drawn else _take(tab, picture))
    return 0


def _agents() -> list[AgentSpec]:
    return [
        AgentSpec(host, name, city, f"{name}-a", tags=("provider=example",), location=location)
        for host, colos in _COLOS.items()
        for name, city, location in colos
    ]


def _measure(lab: Lab, fleet: Fleet) -> dict[str, str]:
    """Trace, while things change; the ids of what is shown."""
    _trace(fleet, _FAR, colos=["den", "fra"])
    _trace(fleet, _DARK, colos=["sin01"])
    _filter(lab, "join", _LIMITED)
    limited = _trace(fleet, _WEB, colos=["den01", "fra01"])
    before = [_trace(fleet, _WEB) for _ in range(7)][-1]
    with _moved(lab), _filtered(lab, "sin4", _LOSSY):
        after = [_trace(fleet, _WEB) for _ in range(5)][-1]
    balanced = _trace(fleet, _WEB, options={"multipath": True, "packet_type": "udp"})
    return {"limited": limited, "before": before, "after": after, "balanced": balanced}


def _trace(
    fleet: Fleet,
    target: str,
    *,
    colos: list[str] | None = None,
    options: dict[str, object] | None = None,
) -> str:
    _say(f"tracing {target}")
    body = {"targets": [target], "options": options or {"packets_per_ttl": 6}}
    if colos:
        body["colos"] = colos
    answer = httpx.post(fleet.path(), headers=fleet.headers(), json=body, timeout=60)
    answer.raise_for_status()
    return str(answer.headers["measurement-id"])


def _filter(lab: Lab, router: str, chain: str) -> None:
    done = lab.run(router, ["nft", f"table inet pictures {{\n{chain}\n}}\n"])
    if done.returncode:
        raise RuntimeError(done.stderr)


@contextmanager
def _filtered(lab: Lab, router: str, chain: str) -> Iterator[None]:
    _filter(lab, router, chain)
    yield
    lab.run(router, ["nft", "delete table inet pictures"])


@contextmanager
def _moved(lab: Lab) -> Iterator[None]:
    """Paths from Denver lead by way of c2."""
    ways = {}
    for family in FAMILIES:
        web, c2 = (lab.address(name, family=family) for name in ("web", "c2"))
        ways[family] = web, _way(lab, web, family)
        _lead(lab, web, _way(lab, c2, family), family)
    yield
    for family, (web, way) in ways.items():
        _lead(lab, web, way, family)


def _way(lab: Lab, address: str, family: Family) -> list[str]:
    """The route of c1 to an address, as words of ip(8)."""
    words = lab.run("c1", ["ip", f"-{family}", "route", "show", address]).stdout.split()[1:]
    return words[: words.index("pref")] if "pref" in words else words


def _lead(lab: Lab, address: str, way: list[str], family: Family) -> None:
    lab.run("c1", ["ip", f"-{family}", "route", "replace", address, *way])


def _pictures(ids: dict[str, str]) -> Iterator[Picture]:
    before, after, limited, balanced = (
        ids[name] for name in ("before", "after", "limited", "balanced")
    )
    cells = ".matrix td.number"
    nodes = ".paths-frame [data-node]"
    yield Picture("form", f"trace?targets={_WEB}+198.18.20.100&from=den+sin+fra", ".snippets")
    yield Picture("matrix", f"m/{after}", cells, _TALL)
    yield Picture("narrow", f"m/{after}", cells, _NARROW)
    yield Picture("limited", f"m/{limited}?view=rows&colo=den01&hop=5", "table circle")
    yield Picture("graph", f"m/{balanced}?view=graph", nodes, _TALL)
    yield Picture("balanced", f"m/{balanced}?view=graph&by=address", nodes, drawn=True)
    yield Picture("compare", f"compare/{before}/{after}", "table.difference tbody tr", _TALL)
    yield Picture("over-time", f"pair/{after}?target={_WEB}", "svg.series .moment", _TALL)


@contextmanager
def _tab(fleet: Fleet) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM, args=["--no-sandbox", "--lang=en-GB"]
        )
        context = browser.new_context(
            color_scheme="light", locale="en-GB", timezone_id="UTC", reduced_motion="reduce"
        )
        context.add_init_script(f"sessionStorage.setItem('colotrace.token', '{fleet.token}')")
        yield context.new_page()
        browser.close()


def _show(tab: Page, fleet: Fleet, picture: Picture) -> None:
    width, height = picture.size
    tab.set_viewport_size({"width": width, "height": height})
    tab.goto("about:blank")
    tab.goto(f"{fleet.url}/#/{ACCOUNT}/{picture.view}")
    tab.locator(picture.complete).first.wait_for()
    tab.wait_for_load_state("networkidle")
    tab.evaluate("document.activeElement?.blur()")


def _draw(tab: Page, picture: Picture) -> str:
    """Save the drawing as the page does; the name of the file."""
    tab.get_by_text("Save", exact=True).click()
    with tab.expect_download() as begun:
        tab.get_by_role("button", name="Picture (SVG)").click()
    file = PICTURES / f"{picture.name}.svg"
    begun.value.save_as(file)
    return file.name


def _take(tab: Page, picture: Picture) -> str:
    """Take what the window shows, without loss if the file is small enough; its name."""
    width, height = picture.size
    used = tab.evaluate("document.getElementById('main').getBoundingClientRect().bottom")
    area = {"x": 0, "y": 0, "width": width, "height": min(height, round(used)), "scale": 1}
    session = tab.context.new_cdp_session(tab)
    for quality in (_LOSSLESS, 90, 80):
        shot = session.send(
            "Page.captureScreenshot", {"format": "webp", "quality": quality, "clip": area}
        )
        content = base64.b64decode(shot["data"])
        if len(content) <= _MOST_BYTES:
            break
    file = PICTURES / f"{picture.name}.webp"
    file.write_bytes(content)
    return file.name


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main())
