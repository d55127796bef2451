"""Logging: one line for each event on standard error, as JSON or for a terminal."""

import enum
import logging
import sys

from colotrace_proto import logs


class LogFormat(enum.StrEnum):
    """The format of lines; `auto` is `console` on a terminal and `json` elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(enum.StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure(form: LogFormat, level: LogLevel) -> None:
    """Set up logging for the process, including libraries."""
    terminal = sys.stderr.isatty()
    if form is LogFormat.AUTO:
        form = LogFormat.CONSOLE if terminal else LogFormat.JSON
    logs.configure(
        json=form is LogFormat.JSON,
        threshold=logging.getLevelNamesMapping()[level.upper()],
        colors=terminal,
    )
