"""Manual pages, from the same command tree as --help: one for each command and group."""

import importlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import typer.main


def pages(program: str, module: str, *, version: str, now: int) -> Iterator[tuple[str, str]]:
    """Name and text (roff) of each page of a program."""
    command = typer.main.get_command(importlib.import_module(module).app)
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    root = Page(program, command, None, foot=f'"{day}" "colotrace {version}"')
    return root.with_pages_below()


class Page:
    """The page of one command."""

    def __init__(self, name: str, command: Any, parent: Any, *, foot: str) -> None:
        self._words = name
        self._command = command
        self._foot = foot
        context = type(command).context_class
        self._context = context(command, info_name=name.rpartition(" ")[2], parent=parent)
        self._below = [
            Page(f"{name} {each}", command.commands[each], self._context, foot=foot)
            for each in getattr(command, "commands", {})
        ]

    @property
    def name(self) -> str:
        """Of the page: colotrace-agent-run."""
        return self._words.replace(" ", "-")

    @property
    def summary(self) -> str:
        """The first sentence of the help."""
        text = " ".join((self._command.help or "").split("\n\n")[0].split())
        return re.split(r"[.:](?:\s|$)", text)[0]

    def with_pages_below(self) -> Iterator[tuple[str, str]]:
        """This page, and those of the commands in a group."""
        yield self.name, self.text()
        for page in self._below:
            yield from page.with_pages_below()

    def text(self) -> str:
        """The page in roff."""
        return "".join(
            [
                f".TH {self.name.upper()} 1 {self._foot}\n",
                f".SH NAME\n{_roff(self.name)} \\- {_roff(self.summary)}\n",
                f".SH SYNOPSIS\n.B {_roff(self._words)}\n{_roff(self._usage())}\n",
                ".SH DESCRIPTION\n",
                *_paragraphs(self._command.help or ""),
                *self._described(".SH ARGUMENTS\n", options=False),
                *self._described(".SH OPTIONS\n", options=True),
                *self._commands(),
                *(_exit_codes(self._command.epilog) if self._command.epilog else []),
                *self._see_also(),
            ]
        )

    def _usage(self) -> str:
        pieces = self._command.collect_usage_pieces(self._context)
        return " ".join(pieces)

    def _described(self, head: str, *, options: bool) -> Iterator[str]:
        records = [
            parameter.get_help_record(self._context)
            for parameter in self._command.get_params(self._context)
            if (parameter.param_type_name == "option") is options
        ]
        shown = [record for record in records if record is not None]
        if shown:
            yield head
        for flags, words in shown:
            yield f".TP\n.B {_roff(flags)}\n{_roff(words)}\n"

    def _commands(self) -> Iterator[str]:
        if self._below:
            yield ".SH COMMANDS\n"
        for page in self._below:
            short = page._words.rpartition(" ")[2]  # noqa: SLF001 - of the same class
            yield f".TP\n.B {_roff(short)}\n{_roff(page.summary)}: see\n"
            yield f".BR {_roff(page.name)} (1).\n"

    def _see_also(self) -> Iterator[str]:
        program = self._words.partition(" ")[0]
        others = {"colotrace", "colotrace-agent", "colotrace-coordinator"} - {self.name}
        ordered = sorted(others, key=lambda each: (each != program, each))
        yield ".SH SEE ALSO\n" + ",\n".join(f".BR {_roff(each)} (1)" for each in ordered) + "\n"


def _exit_codes(epilog: str) -> Iterator[str]:
    head, _, rest = " ".join(epilog.split()).partition(":")
    if head != "Exit codes":
        yield from _paragraphs(epilog)
        return
    yield ".SH EXIT STATUS\n"
    for each in rest.strip().rstrip(".").split("; "):
        code, _, words = each.partition(" ")
        yield f".TP\n.B {_roff(code)}\n{_roff(words)}\n" if code.isdigit() else f"{_roff(each)}\n"


def _paragraphs(text: str) -> Iterator[str]:
    for each in text.strip().split("\n\n"):
        yield f".PP\n{_roff(' '.join(each.split()))}\n"


def _roff(text: str) -> str:
    """Plain text, escaped. Dashes of flags stay dashes."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return f"\\&{text}" if text[:1] in (".", "'") else text
