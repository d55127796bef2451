"""Terminal sessions in the pages: ```console blocks, whose prompts say where a command runs.

    root@trace:~# colotrace-coordinator token create --account demo
    …
    root@probe1:~# colotrace-agent join ctj_…

A line that starts with a prompt is a command, lines after it that start with `> ` continue it, and
all others are output. What a session leaves out is `…`; a command may have it only where an
earlier command printed the text, as the join token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from fleet.samples import samples

_PROMPT = re.compile(r"^(?P<user>\w+)@(?P<host>[\w-]+):[^#$]*[#$] (?P<command>.*)$")
_OMITTED = re.compile(r"(?P<known>[\w-]+_)…")


@dataclass(frozen=True, slots=True)
class Typed:
    """A command of a session."""

    where: str
    user: str
    host: str
    command: str
    shown: str = ""
    """What the page shows as its output."""


def sessions(page: Path | str) -> list[Typed]:
    """The commands of all sessions of a page, in their order."""
    found: list[Typed] = []
    for sample in samples():
        if sample.language == "console" and sample.where.rpartition(":")[0] == str(page):
            found += commands(sample.where, sample.text)
    return found


def commands(where: str, text: str) -> list[Typed]:
    """The commands of one session."""
    found: list[Typed] = []
    may_continue = False
    for line in text.splitlines():
        if match := _PROMPT.match(line):
            found.append(Typed(where, match["user"], match["host"], match["command"]))
            may_continue = True
        elif found and may_continue and line.startswith("> "):
            found[-1] = replace(found[-1], command=f"{found[-1].command}\n{line[2:]}")
        elif found:
            found[-1] = replace(found[-1], shown=f"{found[-1].shown}{line}\n")
            may_continue = False
    return found


def filled(command: str, printed: str) -> str:
    """The command with what earlier commands have printed in place of `…`: the last such word.

    Raises ValueError if nothing that was printed begins like that.
    """

    def word(match: re.Match[str]) -> str:
        begun = re.findall(rf"{re.escape(match['known'])}[\w.~-]+", printed)
        if not begun:
            raise ValueError(f"no earlier command printed {match['known']}…: {command}")
        return str(begun[-1])

    return _OMITTED.sub(word, command)
