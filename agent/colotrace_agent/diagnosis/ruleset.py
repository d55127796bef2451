"""The host's nftables rules, as nft(8) tells them in JSON (libnftables-json(5)).

Reading them needs CAP_NET_ADMIN, which the agent gives up: so it is done before, and this module
imports nothing that could start a thread.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Any

_READ_S = 5


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The rules and chains, as nft's JSON says them; or why they could not be had."""

    rules: list[dict[str, Any]] = field(default_factory=list)
    chains: list[dict[str, Any]] = field(default_factory=list)
    unread: str = ""


def read() -> Ruleset:
    """Asks nft(8)."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    program = shutil.which("nft", path=path)
    if program is None:
        return Ruleset(unread="nft is not installed")
    try:
        done = subprocess.run(
            [program, "-j", "list", "ruleset"],
            capture_output=True,
            text=True,
            timeout=_READ_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ruleset(unread=f"nft: {error}")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        return Ruleset(unread=f"nft: {lines[0]}")
    return parse(done.stdout)


def parse(text: str) -> Ruleset:
    """A ruleset from nft's JSON (libnftables-json(5))."""
    try:
        items = json.loads(text)["nftables"]
        return Ruleset(
            rules=[item["rule"] for item in items if "rule" in item],
            chains=[item["chain"] for item in items if "chain" in item],
        )
    except (ValueError, KeyError, TypeError):
        return Ruleset(unread="nft's answer is not understood")
