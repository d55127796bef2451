"""The fenced blocks of the pages, and in what language each is said to be.

The info string's first word is the language, a second one says where a command runs:

    sh               at the operator's, the coordinator's address and a token in the environment
    sh probe-host    on an agent's host
    sh services      the programs that go on running; each line is one
    bash, python     at the operator's
    json             a request's body, or members of an answer
    nft              a ruleset
    console          a session on several hosts, by its prompts (tests/installed/console.py)
    text             what cannot be run: pictures, output, and what changes the host
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
LANGUAGES = (
    "sh",
    "sh probe-host",
    "sh services",
    "bash",
    "python",
    "json",
    "nft",
    "console",
    "text",
)

_BLOCK = re.compile(r"^( *)```([^\n`]*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """A block: where it stands, its info string, and what is in it."""

    where: str
    language: str
    text: str


def samples() -> list[Sample]:
    """Every block of every page."""
    found = []
    for page in PAGES:
        content = page.read_text()
        for block in _BLOCK.finditer(content):
            line = content.count("\n", 0, block.start()) + 1
            text = re.sub(rf"^{block[1]}", "", block[3], flags=re.MULTILINE)
            found.append(Sample(f"{page.relative_to(ROOT)}:{line}", block[2].strip(), text))
    return found
