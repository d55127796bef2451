"""The command as a process of its own, with the server of the unit tests."""

from unit.cli.conftest import (
    _clean_environment,
    api,
    colo_row,
    envelope,
    environment,
    failure,
    run,
    summary,
)

__all__ = [
    "_clean_environment",
    "api",
    "colo_row",
    "envelope",
    "environment",
    "failure",
    "run",
    "summary",
]
