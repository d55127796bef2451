"""Reads the host's nftables rules with nft(8), as JSON (libnftables-json(5)).

This needs CAP_NET_ADMIN and therefore happens before the agent drops it. This module must not
import anything that starts a thread.
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
    """Rules and chains of nft's JSON, or the reason why they could not be read."""

    rules: list[dict[str, Any]] = field(default_factory=list)
    chains: list[dict[str, Any]] = field(default_factory=list)
    unread: str = ""
    remedy: str = ""
    """How to make them readable."""


def read() -> Ruleset:
    """Read the ruleset with nft(8)."""
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
    """PATH without relative entries: root must not run a program of the working directory."""
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
        return Ruleset(unread="nft's output is not valid", remedy="upgrade nftables")
