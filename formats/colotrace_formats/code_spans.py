"""Untrusted text as Markdown."""

from colotrace_proto.text import safe

_MOST = 500


def code(text: str) -> str:
    """Untrusted text as a code span, where nothing is a link, a mention, HTML or markup; "" for no
    text. A code span has no escapes, so a backtick and a cell's end become text as control
    characters do."""
    shown = safe(text, most=_MOST).replace("`", "\\x60").replace("|", "\\x7c")
    return f"`{shown}`" if shown else ""
