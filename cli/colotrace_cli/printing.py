"""Prints results on standard output, and notes on standard error."""

import sys
from collections.abc import Iterable

import msgspec
from colotrace_proto.layout import TextOutput, text_output
from colotrace_proto.output import say
from colotrace_proto.text import safe_json, safe_lines

_MOST = 64 << 20


def output() -> TextOutput:
    """The properties of standard output."""
    return text_output(sys.stdout)


def lines(text: Iterable[str]) -> None:
    """Print lines of text that is safe to print."""
    sys.stdout.write("".join(f"{line}\n" for line in text))


def flush() -> None:
    """Write what is buffered."""
    sys.stdout.flush()


def body(content: bytes) -> None:
    """Print JSON: byte for byte into a file or pipe, indented on a terminal.

    On a terminal, control characters are written as JSON escapes; the value stays the same.
    """
    if not sys.stdout.isatty():
        document(content)
        return
    text = msgspec.json.format(content, indent=2).decode(errors="replace")
    lines([safe_json(text)])


def document(content: bytes) -> None:
    """Print a document of the coordinator: byte for byte into a file or pipe; on a terminal, with
    control characters as escapes."""
    if sys.stdout.isatty():
        text = content.decode(errors="replace").removesuffix("\n")
        lines([safe_lines(text.replace("\t", "    "), most=_MOST)])
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def dot_note(content: bytes) -> None:
    """If this is a graph as DOT that is cut, say so on standard error, too."""
    from colotrace_formats import as_dot  # slow to import

    if lacks := as_dot.cut(content):
        note(lacks)


def note(words: str) -> None:
    """Print a note on standard error."""
    say(f"colotrace: {words}")
