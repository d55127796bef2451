"""Logs go to standard error, one event a line: for people on a terminal, else as JSON."""

import sys

from colotrace_proto import logs


def set_up(*, json: bool | None = None) -> None:
    """Sets the process's logging up; `json` None decides by whether a person is watching."""
    terminal = sys.stderr.isatty()
    logs.configure(json=not terminal if json is None else json, colors=terminal)
