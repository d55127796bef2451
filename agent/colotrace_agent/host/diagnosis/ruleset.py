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
    remedy: str = ""
    """What would let them be read."""


def read() -> Ruleset:
    """Asks nft(8)."""
    program = shutil.which("nft", path=_path())
    if program is None:
        return Ruleset(unread="nft is not installed", remedy="install nftables")
    try:
        done = subprocess.run(
            [program, "-j", "list", "ruleset"],
            capture_output=True,
            text=True,
            timeout=_READ_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ruleset(unread=f"nft: {error}", remedy=_how_to_ask())
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        return Ruleset(unread=f"nft: {lines[0]}", remedy=_how_to_ask())
    return parse(done.stdout)


def _path() -> str:
    """Where programs are looked for. Root must not run one of the working directory."""
    given = os.environ.get("PATH", os.defpath).split(os.pathsep)
    absolute = [entry for entry in given if os.path.isabs(entry)]  # noqa: PTH117 - "" is none
    return os.pathsep.join([*absolute, "/usr/sbin", "/sbin"])


def _how_to_ask() -> str:
    if os.geteuid() == 0:
        return "run this with CAP_NET_ADMIN, outside of the container if it is in one"
    return "run this as root"


def parse(text: str) -> Ruleset:
    """A ruleset from nft's JSON (libnftables-json(5))."""
    try:
        items = json.loads(text)["nftables"]
        return Ruleset(
            rules=[item["rule"] for item in items if "rule" in item],
            chains=[item["chain"] for item in items if "chain" in item],
        )
    except (ValueError, KeyError, TypeError):
        return Ruleset(unread="nft's answer is not understood", remedy="upgrade nftables")
