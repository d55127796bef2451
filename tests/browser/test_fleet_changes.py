"""What administrators do on the page: agents and colos are changed in a dialog, and confirmed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from browser.conftest import guarded
from browser.test_accessible import examine
from fleet import AgentSpec
from fleet.enrolled import EnrolledFleet
from fleet.fleet import ACCOUNT
from lab import Lab
from playwright.async_api import Browser, Locator, Page, expect

DEN = AgentSpec(host="den01", colo="den01", city="Denver, CO, US", agent_id="den01-a")
FRA = AgentSpec(host="fra01", colo="fra01", city="Frankfurt, DE", agent_id="fra01-a")


@pytest.fixture(scope="module", name="enrolled")
def _enrolled(lab: Lab) -> Iterator[EnrolledFleet]:
    with EnrolledFleet(lab, agents=[DEN, FRA]) as running:
        running.wait_attached()
        yield running


@pytest_asyncio.fixture(loop_scope="session", name="administrator")
async def _administrator(chromium: Browser, enrolled: EnrolledFleet) -> AsyncIterator[Page]:
    """A tab at the fleet, signed in with a token that has the permission admin."""
    token = enrolled.command("token", "create", "--account", ACCOUNT, "--permission", "admin")
    async with guarded(chromium, enrolled.url, ignore_https_errors=True) as (context, guard):
        guard.allowed += ["status of 40[09]"]
        tab = await context.new_page()
        await tab.goto(f"{enrolled.url}/#/{ACCOUNT}/fleet")
        await tab.get_by_label("API token").fill(token.strip())
        await tab.get_by_role("button", name="Sign in").click()
        await expect(row(tab, "den01")).to_be_visible()
        yield tab


def row(tab: Page, text: str) -> Locator:
    """The row of the agent."""
    return tab.get_by_role("region", name="Agents").locator("tbody tr").filter(has_text=text)


async def act(tab: Page, subject: str, action: str) -> Locator:
    """Open the dialog of an agent or a colo, and choose an action, which is not confirmed yet."""
    await tab.get_by_role("button", name=f"Change {subject}", exact=True).click()
    dialog = tab.get_by_role("dialog", name=subject)
    await dialog.get_by_role("button", name=f"{action}…").click()
    return dialog


async def confirm(dialog: Locator, action: str) -> None:
    await dialog.get_by_role("button", name=action, exact=True).click()
    await expect(dialog).to_have_count(0)


async def test_agents_are_listed_with_what_they_tell(administrator: Page) -> None:
    """The coordinator writes it within seconds, and the page asks again at intervals."""
    den = row(administrator, "den01-a")
    for told in ("enrolled", "ipv4, ipv6", "in 6 days", " MB"):
        await expect(den).to_contain_text(told, timeout=40_000)
    await expect(administrator.get_by_text("with 2 agents attached.")).to_be_visible()


async def test_agent_is_drained_after_a_confirmation(
    administrator: Page, enrolled: EnrolledFleet
) -> None:
    dialog = await act(administrator, "den01/den01-a", "Drain")
    await expect(dialog.get_by_role("button", name="Drain", exact=True)).to_be_focused()
    assert "state: enrolled" in enrolled.command("agent", "show", "den01-a")
    await confirm(dialog, "Drain")
    await expect(row(administrator, "den01-a")).to_contain_text("drained")
    await expect(administrator.get_by_text("1 of 2 colos up")).to_be_visible()
    await confirm(
        await act(administrator, "den01/den01-a", "Give it jobs again"), "Give it jobs again"
    )
    await expect(administrator.get_by_text("2 of 2 colos up")).to_be_visible()


async def test_taken_name_is_told_in_the_dialog(administrator: Page) -> None:
    dialog = await act(administrator, "den01/den01-a", "Rename")
    await dialog.get_by_label("Id").fill("fra01-a")
    await dialog.get_by_label("Colo").fill("fra01")
    await dialog.get_by_role("button", name="Rename", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_have_text("fra01 already has an agent fra01-a")
    await administrator.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(administrator.get_by_role("button", name="Change den01/den01-a")).to_be_focused()


async def test_agent_and_colo_are_renamed(administrator: Page) -> None:
    dialog = await act(administrator, "fra01/fra01-a", "Rename")
    await dialog.get_by_label("Id").fill("fra01-b")
    await confirm(dialog, "Rename")
    dialog = await act(administrator, "fra01", "Rename")
    await dialog.get_by_label("Name").fill("ber01")
    await dialog.get_by_label("City").fill("Berlin, DE")
    await confirm(dialog, "Rename")
    await expect(row(administrator, "ber01")).to_contain_text("fra01-b")
    colos = administrator.get_by_role("region", name="Colos")
    await expect(colos.locator("tbody tr").filter(has_text="ber01")).to_contain_text("Berlin, DE")


async def test_line_to_paste_is_made(administrator: Page, enrolled: EnrolledFleet) -> None:
    await administrator.get_by_role("button", name="Enrol agents…").click()
    dialog = administrator.get_by_role("dialog", name="Enrol agents")
    await dialog.get_by_label("Colo").fill("den")
    await dialog.get_by_label("City").fill("Denver, CO, US")
    await dialog.get_by_label("How many hosts").fill("50")
    await dialog.get_by_role("button", name="Enrol", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_contain_text("letters and a number")
    await dialog.get_by_label("Colo").fill("den01")
    await dialog.get_by_role("button", name="Enrol", exact=True).click()
    line = dialog.get_by_label("Line to paste")
    await expect(line).to_contain_text("colotrace-agent join ctj_")
    assert "0 of 50" in enrolled.command("agent", "tokens")
    await examine(administrator)


async def test_every_state_is_for_everyone(administrator: Page) -> None:
    await examine(administrator)
    await administrator.get_by_role("button", name="Change den01/den01-a", exact=True).click()
    await examine(administrator)
    dialog = administrator.get_by_role("dialog")
    await dialog.get_by_role("button", name="Rename…").click()
    await examine(administrator)


async def test_revoked_agent_can_only_be_forgotten(administrator: Page) -> None:
    """Last: it does not come back."""
    await confirm(await act(administrator, "den01/den01-a", "Revoke"), "Revoke")
    await expect(row(administrator, "den01-a")).to_contain_text("revoked")
    await expect(administrator.get_by_text("with 1 agent attached.")).to_be_visible()
    await administrator.get_by_role("button", name="Change den01/den01-a", exact=True).click()
    dialog = administrator.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="…")).to_have_count(1)
    await dialog.get_by_role("button", name="Forget…").click()
    await confirm(dialog, "Forget")
    await expect(row(administrator, "den01-a")).to_have_count(0)


async def test_other_tokens_change_nothing(chromium: Browser, enrolled: EnrolledFleet) -> None:
    async with guarded(chromium, enrolled.url, ignore_https_errors=True) as (context, _):
        tab = await context.new_page()
        await tab.goto(f"{enrolled.url}/#/{ACCOUNT}/fleet")
        await tab.get_by_label("API token").fill(enrolled.token)
        await tab.get_by_role("button", name="Sign in").click()
        await expect(tab.get_by_role("region", name="Colos")).to_be_visible()
        await expect(tab.get_by_role("button", name="Change")).to_have_count(0)
        await expect(tab.get_by_role("button", name="Enrol")).to_have_count(0)
