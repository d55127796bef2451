"""What the page gives to copy, as shells and Python read it: no target ends its quotation marks."""

from __future__ import annotations

import ast
import json
import subprocess
from typing import Any

import pytest
from browser.conftest import ORIGIN
from playwright.async_api import Page

URL, ACCOUNT = "https://c.example/client/v4", "it's $(id)"
HOSTILE = [
    "it's.example",
    "$(id)",
    "`id`",
    "a';id;'",
    '"$HOME"',
    "a\\';id;'",
    'a":true',
    "=ls",
    "~root",
    "!!",
    "#x",
    "*",
    "{a,b}",
    'a": 1}',
]
UNSEEN = [
    "\x7f';id;'",
    "a\x1b[201~\\';id",
    "\x9b31m",
    "\u202eevil",
    "\u2066x\u2069",
    "a\u2028b",
    "a\x00b",
]
ECHO = 'curl() { printf "%s\\0" "$@"; }; colotrace() { curl "$@"; }; '


async def snippets(tab: Page, targets: list[str]) -> dict[str, str]:
    """By kind, the text for a request with these targets."""
    make = """async ([origin, request, where]) => {
      const { asCli, asCurl, asPython } = await import(`${origin}/model/snippets.js`);
      return {
        curl: asCurl(request, `${where.url}/x`),
        cli: asCli(request, where),
        python: asPython(request, where),
      };
    }"""
    request = {"targets": targets, "colos": targets, "options": {"max_ttl": 20, "multipath": True}}
    made: dict[str, str] = await tab.evaluate(
        make, [ORIGIN, request, {"url": URL, "account": ACCOUNT}]
    )
    return made


def arguments(shell: str, text: str) -> list[str]:
    """What a shell gives to the command in the text."""
    run = subprocess.run([shell, "-c", ECHO + text], capture_output=True, check=True)
    assert run.stderr == b""
    return run.stdout.decode().removesuffix("\0").split("\0")


def keywords(text: str) -> dict[str, Any]:
    """The arguments of the request in a script."""
    calls = [each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Call)]
    [call] = [each for each in calls if ast.unparse(each.func).endswith("traceroutes.create")]
    return {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}


@pytest.mark.parametrize("shell", ["sh", "bash"])
async def test_shell_reads_each_target_as_it_is(module_tab: Page, shell: str) -> None:
    made = await snippets(module_tab, HOSTILE)
    *_, body = arguments(shell, made["curl"])
    assert json.loads(body)["targets"] == HOSTILE
    colos = ["--from", ",".join(HOSTILE)]
    wanted = ["trace", *HOSTILE, *colos, "--max-ttl", "20", "--multipath"]
    assert arguments(shell, made["cli"]) == wanted


async def test_target_like_an_option_is_a_target(module_tab: Page) -> None:
    made = await snippets(module_tab, ["--profile=x", "a"])
    assert arguments("sh", made["cli"])[-3:] == ["--", "--profile=x", "a"]


async def test_python_reads_each_target_as_it_is(module_tab: Page) -> None:
    targets = [*HOSTILE, *UNSEEN]
    found = keywords((await snippets(module_tab, targets))["python"])
    assert found["targets"] == found["colos"] == targets
    assert found["options"] == {"max_ttl": 20, "multipath": True}
    assert found["account_id"] == ACCOUNT


async def test_characters_that_are_not_seen_are_told(module_tab: Page) -> None:
    for text in (await snippets(module_tab, UNSEEN)).values():
        assert text.replace("\n", "").isprintable()
    for unseen in UNSEEN[:-1]:  # no argument has a NUL
        made = await snippets(module_tab, [unseen])
        assert arguments("bash", made["cli"])[1] == unseen
        assert json.loads(arguments("bash", made["curl"])[-1])["targets"] == [unseen]
        arguments("sh", made["cli"])
