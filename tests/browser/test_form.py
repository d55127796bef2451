"""The form: what is pasted and picked is what is asked for, here and by other clients."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from browser.conftest import Guard
from fleet import Fleet
from playwright.async_api import Page, Request, Route, expect

BIN = Path(sys.executable).parent
TARGET = "web.lab.example"


def params(tab: Page) -> dict[str, str]:
    """The parameters of the route."""
    query = urlsplit(tab.url).fragment.partition("?")[2]
    return {name: value for name, [value] in parse_qs(query).items()}


async def pressed(tab: Page, times: int = 1) -> list[Request]:
    """Press Trace; the requests that this sends, one after the other."""
    sent: list[Request] = []
    tab.on("request", lambda each: sent.append(each) if each.method == "POST" else None)
    await tab.get_by_role("button", name="Trace", exact=True).click()
    await tab.wait_for_url("**/history" if times > 1 else "**/m/*")
    assert len(sent) == times
    return sent


async def test_pasted_targets_are_traced_ten_at_a_time(signed_in: Page) -> None:
    many = [f"198.18.40.{number}" for number in range(1, 12)]
    field = signed_in.get_by_label("Targets")
    await expect(field).to_be_focused()
    await signed_in.get_by_label("From").fill("fra01 limit:1")
    await field.fill(f"{many[0]}, {many[1]};{many[0]}\n\n\t{' '.join(many[2:])}")
    await expect(signed_in.get_by_text("Sends at most")).to_have_text(
        "Sends at most 495 packets from 1 colo."
    )
    first, second = await pressed(signed_in, times=2)
    assert first.post_data_json == {"targets": many[:10], "colos": ["fra01", "limit:1"]}
    assert second.post_data_json == {"targets": many[10:], "colos": ["fra01", "limit:1"]}
    listed = signed_in.get_by_role("row").nth(1)
    await expect(listed.get_by_role("cell").nth(2)).to_have_text(many[10])


async def test_answer_after_the_form_was_left_leads_nowhere(signed_in: Page) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        if route.request.method != "POST":
            return await route.fallback()
        asked.set()
        await left.wait()
        return await route.continue_()

    await signed_in.route("**/diagnostics/traceroute", late)
    await signed_in.get_by_label("Targets").fill(TARGET)
    await signed_in.get_by_role("button", name="Trace", exact=True).click()
    await asyncio.wait_for(asked.wait(), 30)
    await signed_in.get_by_role("link", name="Fleet").click()
    await signed_in.get_by_role("heading", name="Fleet").wait_for()
    async with signed_in.expect_event("requestfinished", lambda each: each.method == "POST"):
        left.set()
    await signed_in.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")
    assert signed_in.url.endswith("/fleet")


async def test_colos_are_picked_by_code_search_list_and_map(signed_in: Page) -> None:
    from_ = signed_in.get_by_label("From")
    sends = signed_in.get_by_text("Sends at most")
    await signed_in.get_by_label("Targets").fill(TARGET)
    await expect(sends).to_contain_text("180 packets from 4 colos")
    code = signed_in.get_by_role("button", name="den", exact=False)
    await code.click()
    await expect(code).to_have_attribute("aria-pressed", "true")
    await expect(from_).to_have_value("den")
    await expect(sends).to_contain_text("90 packets from 2 colos")
    await signed_in.get_by_role("searchbox", name="Search").fill("singa")
    boxes = signed_in.get_by_role("checkbox", name="Singapore")
    await expect(signed_in.locator(".colos li")).to_have_count(1)
    await boxes.check()
    await expect(from_).to_have_value("den sin01")
    await signed_in.locator("svg.map circle", has_text="fra01").click()
    await expect(from_).to_have_value("den sin01 fra01")
    await expect(sends).to_contain_text("180 packets from 4 colos")
    await code.click()
    await expect(from_).to_have_value("sin01 fra01")
    await signed_in.get_by_role("searchbox", name="Search").fill("nowhere")
    await expect(signed_in.get_by_text("No colo has this in its name or city.")).to_be_visible()
    assert params(signed_in) == {"targets": TARGET, "from": "sin01 fra01"}
    await signed_in.reload()
    await expect(from_).to_have_value("sin01 fra01")
    await expect(signed_in.get_by_label("Targets")).to_have_value(TARGET)
    await expect(sends).to_contain_text("90 packets from 2 colos")


async def test_faults_stand_at_their_fields_and_nothing_is_sent(signed_in: Page) -> None:
    sent: list[Request] = []
    signed_in.on("request", lambda each: sent.append(each) if each.method == "POST" else None)
    button = signed_in.get_by_role("button", name="Trace", exact=True)
    await button.click()
    field = signed_in.get_by_label("Targets")
    await expect(field).to_be_focused()
    await expect(field).to_have_accessible_description(
        "Host names or addresses, one a line or separated by spaces. More than 10 become several "
        "measurements. Enter at least one host name or address."
    )
    await expect(signed_in.get_by_role("status")).to_contain_text("Enter at least one host name")
    await field.fill(TARGET)
    await signed_in.get_by_text("Options").click()
    ttl = signed_in.get_by_label("Greatest TTL")
    await ttl.fill("65")
    await expect(ttl).to_have_accessible_description("Greatest TTL: a whole number from 1 to 64.")
    await button.click()
    await expect(ttl).to_be_focused()
    await signed_in.get_by_label("From").fill("den01 xyz")
    await ttl.focus()
    await expect(signed_in.get_by_text("Not known: xyz.")).to_be_visible()
    assert sent == []


async def test_errors_of_the_api_stand_at_their_fields(signed_in: Page, guard: Guard) -> None:
    guard.allowed.append("Failed to load resource: .* 400")
    targets, from_ = signed_in.get_by_label("Targets"), signed_in.get_by_label("From")
    await targets.fill(f"{TARGET} not/a/host")
    await from_.fill("den01 xyz")
    await signed_in.get_by_role("button", name="Trace", exact=True).click()
    await expect(targets).to_be_focused()
    for field, told in ((targets, "not/a/host is not a hostname"), (from_, "xyz")):
        await expect(field).to_have_attribute("aria-invalid", "true")
        described = (await field.get_attribute("aria-describedby") or "").split()
        await expect(signed_in.locator(f"#{described[-1]}")).to_contain_text(told)
    await targets.fill(TARGET)
    await expect(targets).to_have_attribute("aria-invalid", "false")
    await expect(from_).to_have_attribute("aria-invalid", "true")
    await from_.fill("den01")
    await targets.press("Control+Enter")
    await signed_in.wait_for_url("**/m/*")


async def test_options_are_sent_and_kept_in_the_url(signed_in: Page) -> None:
    await signed_in.get_by_label("Targets").fill(f"v4only.lab.example {TARGET}")
    await signed_in.get_by_label("From").fill("den01")
    await signed_in.get_by_text("Options").click()
    await signed_in.get_by_label("Packet type").select_option("gre+icmp")
    await signed_in.get_by_label("Packets a hop").fill("2")
    await signed_in.get_by_label("Family").select_option("IPv4")
    await expect(signed_in.get_by_text("Sends at most")).to_contain_text("120 packets from 1 colo")
    await expect(signed_in.get_by_text("(3 changed)")).to_be_visible()
    form = signed_in.url
    [sent] = await pressed(signed_in)
    options = {"packet_type": "gre+icmp", "packets_per_ttl": 2, "family": 4}
    assert sent.post_data_json["options"] == options
    await signed_in.goto(form)
    await expect(signed_in.get_by_text("(3 changed)")).to_be_visible()
    await expect(signed_in.get_by_label("Packet type")).to_have_value("gre+icmp")


async def test_request_works_as_it_is_shown_for_other_clients(
    signed_in: Page, watched_fleet: Fleet, tmp_path: Path
) -> None:
    await signed_in.get_by_label("Targets").fill(f"{TARGET} dark.lab.example")
    await signed_in.get_by_label("From").fill("den01 sin")
    await signed_in.get_by_text("Options").click()
    await signed_in.get_by_label("Packet type").select_option("UDP")
    await signed_in.get_by_label("Family").select_option("IPv4")
    await signed_in.get_by_text("The same as a command or script").click()
    texts = {}
    for kind in ("curl", "CLI", "Python"):
        await signed_in.get_by_role("radio", name=f"as {kind}").check()
        texts[kind] = await signed_in.get_by_label(f"Request as {kind}").inner_text()
    assert watched_fleet.token not in " ".join(texts.values())
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "COLOTRACE_TOKEN": watched_fleet.token,
    }
    answers = await asyncio.gather(
        *(output(kind, text, environment) for kind, text in texts.items())
    )
    found = json.loads(answers[0])["result"]
    assert [each["target"] for each in found] == [TARGET, "dark.lab.example"]
    assert [each["colo"]["name"] for each in found[0]["colos"]] == ["den01", "sin01"]
    for answer in answers:
        for each in (TARGET, "dark.lab.example", "den01", "sin01"):
            assert each in answer


async def output(kind: str, text: str, environment: dict[str, str]) -> str:
    """What a snippet prints."""
    words = [sys.executable if kind == "Python" else "sh", "-c", text]
    running = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    out, err = await running.communicate()
    assert running.returncode == 0, (kind, err)
    return out.decode()
