"""The command as a process of its own, with the server of the unit tests."""

from unit.cli.conftest import (
    api,
    clean_environment,
    colo_row,
    envelope,
    environment,
    failure,
    run,
    summary,
)

__all__ = [
    "api",
    "clean_environment",
    "colo_row",
    "envelope",
    "environment",
    "failure",
    "run",
    "summary",
]
